//! A part of the store's budget that one save may fill. Saves that run at once see each other's
//! reservations, so that all together stay within the budget.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

use super::budget::{Budget, Need, PAUSE, Seen, Wait, with_slack};
use super::scratch::Scratch;
use crate::process::signals;
use crate::store::contents::{self, RESERVED};
use crate::store::lock::Lock;
use crate::store::reserved::{Others, Reserved};
use crate::text::size::show;

/// Reserved space, released on drop. Reports when a save is about to need more than there is.
/// Measures the directory that is being written. Measures the whole store, which takes longer, only
/// after the directory has grown by an eighth of the remaining space, because builds write other
/// files as well.
pub(crate) struct Reservation<'a> {
    budget: &'a Budget,
    scratch: Scratch,
    state: Mutex<State>,
}

/// The last measured sizes in bytes.
#[derive(Debug, Default)]
struct State {
    reserved: Reserved,
    /// The bytes for which space was freed.
    first: u64,
    /// The reservations of others that left no space for this one.
    waits_for: Option<Seen>,
    /// The wait of [`Reservation::grow`], until it gets an answer.
    wait: Option<Wait>,
    /// The size of the store at its last measurement.
    total: u64,
    /// The size of the directory at that time.
    own: u64,
    /// The last size of the directory.
    last: u64,
}

impl<'a> Reservation<'a> {
    /// Reserves space. The caller has the lock of the reservations and has freed the space.
    pub(super) fn new(budget: &'a Budget, bytes: u64) -> Result<Self> {
        let scratch = Scratch::new(&budget.layout, budget.now, RESERVED)?;
        let reserved = Reserved { bytes, ..Reserved::default() };
        reserved.write(scratch.dir())?;
        let state = State { reserved, first: bytes, ..State::default() };
        Ok(Self { budget, scratch, state: Mutex::new(state) })
    }

    /// Begins to fill a directory of the store. Its present content is not part of the save.
    pub(crate) fn begin(&self, dir: &Path) -> Result<()> {
        let total = contents::measure_budgeted(&self.budget.layout);
        let own = contents::measure_dir(dir);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reserved = Reserved { bytes: state.reserved.bytes, dir: Some(dir.to_path_buf()), begun: own };
        reserved.write(self.scratch.dir())?;
        (state.reserved, state.total, state.own, state.last) = (reserved, total, own, own);
        Ok(())
    }

    /// Returns whether the store is too large, or will be at the next call if the save keeps
    /// growing at this rate. The space that was reserved first may be filled at once.
    pub(crate) fn is_full(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(dir) = state.reserved.dir.clone() else { return false };
        let (own, budget) = (contents::measure_dir(&dir), self.budget.bytes());
        let grown = own.saturating_sub(state.last);
        state.last = own;
        let left = budget.saturating_sub(state.total);
        if own.saturating_sub(state.own) > left / 8 {
            (state.total, state.own) = (contents::measure_budgeted(&self.budget.layout), own);
        }
        if state.total + own.saturating_sub(state.own) > budget {
            return true;
        }
        let written = own.saturating_sub(state.reserved.begun);
        let next = written.saturating_add(grown);
        let fits = next <= state.reserved.bytes || self.extend(&mut state.reserved, next, written);
        !fits && written > state.first
    }

    /// Frees and reserves space for this many more bytes, as far as possible. Returns false if
    /// other saves have to end first, and the caller is to ask again. Announces a long wait.
    pub(crate) fn grow(
        &self,
        bytes: u64,
        protect: &[PathBuf],
        announce: &mut dyn FnMut(&str),
    ) -> Result<bool> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wait = state.wait.take().unwrap_or_else(Wait::begin);
        let is_answered = self.try_grow(&mut state, (bytes, protect), wait.may_continue())?;
        if !is_answered {
            if wait.becomes_long() {
                announce(&self.budget.describe_wait(self.others()));
            }
            state.wait = Some(wait);
        }
        Ok(is_answered)
    }

    fn try_grow(
        &self,
        state: &mut State,
        (bytes, protect): (u64, &[PathBuf]),
        may_wait: bool,
    ) -> Result<bool> {
        let now = self.others();
        // Another attempt reads the whole store, so only a change is worth one.
        if may_wait && state.waits_for == Some((now.number, now.promised)) {
            return Ok(false);
        }
        let _lock = Lock::for_reservations(&self.budget.layout)?;
        let need = Need::Bytes(bytes.min(self.budget.bytes() / 2), protect);
        let freed = self.budget.try_free(need, Some(self.scratch.dir()), may_wait);
        // After an answer, the next request waits for nothing yet.
        state.waits_for = freed.as_ref().ok().and_then(|freed| freed.err());
        match freed {
            Ok(Ok(freed)) => {
                let written = state.reserved.written();
                let bytes = written.saturating_add(freed).max(state.reserved.bytes);
                let larger = Reserved { bytes, ..state.reserved.clone() };
                larger.write(self.scratch.dir())?;
                (state.reserved, state.first) = (larger, bytes);
                Ok(true)
            }
            Ok(Err(_)) => Ok(false),
            // Compressed packs may need less. A full store ends the save.
            Err(_) => Ok(true),
        }
    }

    /// Does [`Self::grow`], and waits for other saves if necessary.
    pub(crate) fn grow_and_wait(
        &self,
        bytes: u64,
        protect: &[PathBuf],
        announce: &mut dyn FnMut(&str),
    ) -> Result<()> {
        while !self.grow(bytes, protect, announce)? {
            signals::check()?;
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn others(&self) -> Others {
        Others::read(&self.budget.layout, Some(self.scratch.dir()))
    }

    /// Reserves more space, as far as nothing has to be removed for it.
    fn extend(&self, reserved: &mut Reserved, wanted: u64, written: u64) -> bool {
        let Ok(_lock) = Lock::for_reservations(&self.budget.layout) else { return false };
        let others = self.others().bytes;
        let total = contents::measure_budgeted(&self.budget.layout).saturating_add(others);
        // More than needed, because each extension reads the whole store.
        let ample = with_slack(wanted).saturating_add(wanted / 4);
        let fits = |bytes: &u64| total.saturating_add(bytes.saturating_sub(written)) <= self.budget.bytes();
        let Some(bytes) = [ample, wanted].into_iter().find(fits) else { return false };
        let larger = Reserved { bytes, ..reserved.clone() };
        let is_written = larger.write(self.scratch.dir()).is_ok();
        if is_written {
            *reserved = larger;
        }
        is_written
    }

    /// Returns the bytes that the save had written when it was last asked whether it is full.
    pub(crate) fn written(&self) -> u64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last.saturating_sub(state.reserved.begun)
    }

    /// Returns whether the store is too large now.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(dir) = &state.reserved.dir else { return false };
        let grown = contents::measure_dir(dir).saturating_sub(state.own);
        state.total.saturating_add(grown) > self.budget.bytes()
    }

    /// Releases all space but that of some small files: everything else is written.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reserved = Reserved { bytes: with_slack(0), ..Reserved::default() };
        if reserved.write(self.scratch.dir()).is_ok() {
            state.reserved = reserved;
        }
    }

    /// Returns an error if the call was stopped because the store is full, or if it ended before
    /// anybody looked.
    pub(crate) fn check(&self, was_stopped: bool) -> Result<()> {
        if was_stopped || self.is_over() {
            bail!(
                "it does not fit into the store's budget of {}; raise DURANGO_CACHE_BUDGET, or see `cargo \
                 xtask cache gc`",
                show(self.budget.bytes())
            );
        }
        Ok(())
    }
}
