//! Answers the requests of a transfer's RUNs: a RUN names a token, an item and a file, and gets or
//! sends that file. Connections share their state, and wait for each other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::sink::Piece;
use crate::plan::mounts::dockerfile;
use crate::plan::mounts::transfer::{Loopback, Transfer};
use crate::process::retry;

/// The timeout for the request of a RUN.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout for a RUN to read its input, which is long because it may unpack to a slow disk.
const SLOWEST: Duration = Duration::from_secs(300);

/// The maximum length of a request.
const LONGEST: u64 = 500;

/// The maximum size of a list of files.
const LARGEST_LIST: u64 = 512 << 20;

/// The size of files that are asked for at once, because every reservation has this space.
const SMALL_PACK: u64 = 64 << 10;

/// The maximum number of connections, more than any transfer needs.
pub(super) const MOST_CONNECTIONS: usize = 64;

pub(super) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The common state of connections.
#[derive(Default)]
pub(super) struct Shared {
    /// Items whose packs are not verified yet.
    pub(super) unread: BTreeSet<usize>,
    /// Open connections, which end with the transfer.
    pub(super) open: BTreeMap<u64, TcpStream>,
    /// Mounts that are being saved.
    pub(super) outgoing: BTreeMap<usize, Outgoing>,
    /// Mounts for whose packs the store has space.
    pub(super) granted: BTreeSet<usize>,
    /// Tars that are being restored, by item and number.
    streams: BTreeMap<(usize, usize), Receiver<Piece>>,
}

impl Shared {
    /// Returns whether the store has space for the pack of a mount.
    pub(super) fn is_granted(&self, number: usize, outgoing: &Outgoing) -> bool {
        outgoing.bytes() <= SMALL_PACK || self.granted.contains(&number)
    }
}

/// The answers to the requests of a transfer's RUNs.
pub(super) struct PackServer {
    address: Loopback,
    transfer: Transfer,
    now: i64,
    pub(super) state: Mutex<Shared>,
    pub(super) changed: Condvar,
    pub(super) carried: Arc<AtomicU64>,
    pub(super) is_over: AtomicBool,
}

impl PackServer {
    /// Creates it. The input of the items in `unread` waits until they are removed from there.
    pub(super) fn new(address: Loopback, transfer: &Transfer, unread: BTreeSet<usize>, now: i64) -> Self {
        Self {
            address,
            transfer: transfer.clone(),
            now,
            state: Mutex::new(Shared { unread, ..Shared::default() }),
            changed: Condvar::new(),
            carried: Arc::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Answers each connection until the transfer is over.
    pub(super) fn accept(&self, listener: &TcpListener) {
        std::thread::scope(|scope| {
            for number in 0.. {
                let accepted = listener.accept();
                let mut state = hold(&self.state);
                if self.is_over.load(Ordering::Relaxed) {
                    return;
                }
                // A failed or surplus connection has no effect on the next one.
                let Ok((stream, _)) = accepted else {
                    drop(state);
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                };
                let Ok(other) = stream.try_clone() else { continue };
                if state.open.len() >= MOST_CONNECTIONS {
                    continue;
                }
                state.open.insert(number, other);
                scope.spawn(move || {
                    // A RUN without an answer ends with an error.
                    let _ = self.answer(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                    hold(&self.state).open.remove(&number);
                });
            }
        });
    }

    fn answer(&self, stream: &TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
        stream.set_write_timeout(Some(SLOWEST))?;
        let mut reader = BufReader::with_capacity(1 << 18, stream);
        let mut line = String::new();
        reader.by_ref().take(LONGEST).read_line(&mut line)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [token, number, verb, name] = words[..] else { bail!("not a request: {line}") };
        let number: usize = number.parse()?;
        if token != self.address.token || !self.transfer.may(verb, number, name) {
            bail!("not for this transfer: {verb} {number} {name}");
        }
        let mut writer = stream;
        writer.write_all(self.address.answer.as_bytes())?;
        match (verb, name) {
            ("get", "names") => self.send_whole(&self.names(number)?, &mut writer),
            ("get", "directories") => self.send_whole(&self.directories(number)?, &mut writer),
            ("get", _) => self.send_stream(number, usize::from(name == "stream-1"), &mut writer),
            _ => {
                // Listing and packing have no time limit.
                stream.set_read_timeout(None)?;
                let mut reader = Counted { reader, carried: &self.carried };
                let bytes = self.receive(number, name, &mut reader)?;
                Ok(writer.write_all(&bytes.to_be_bytes())?)
            }
        }
    }

    /// Waits until there is a value.
    fn wait<T>(&self, mut find: impl FnMut(&mut Shared) -> Option<T>) -> Result<T> {
        let mut state = hold(&self.state);
        loop {
            if self.is_over.load(Ordering::Relaxed) {
                bail!("the transfer is over");
            }
            if let Some(found) = find(&mut state) {
                return Ok(found);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn names(&self, number: usize) -> Result<Vec<u8>> {
        self.wait(|state| {
            let outgoing = state.outgoing.get(&number).filter(|list| state.is_granted(number, list));
            outgoing.map(Outgoing::names)
        })
    }

    fn directories(&self, number: usize) -> Result<Vec<u8>> {
        self.wait(|state| (!state.unread.contains(&number)).then_some(()))?;
        Ok(self.incoming(number)?.0.directories())
    }

    fn send_whole(&self, bytes: &[u8], to: &mut impl Write) -> Result<()> {
        bytes.chunks(1 << 18).chain([&[][..]]).try_for_each(|piece| self.send(piece, to))
    }

    /// Opens what the store holds of an item, and says in how many tars it is sent.
    fn incoming(&self, number: usize) -> Result<(Incoming, usize)> {
        let mount = &self.transfer.items[number];
        let held = mount.held.as_ref().context("the store does not have it")?;
        Ok((Incoming::open(&mount.dir, held, self.now)?, dockerfile::streams(held.bytes)))
    }

    fn send_stream(&self, number: usize, stream: usize, to: &mut impl Write) -> Result<()> {
        let begin = |state: &mut Shared| -> Result<Receiver<Piece>> {
            if !state.streams.contains_key(&(number, stream)) {
                let (incoming, streams) = self.incoming(number)?;
                let streams = incoming.begin(streams).into_iter().enumerate();
                state.streams.extend(streams.map(|(at, receiver)| ((number, at), receiver)));
            }
            state.streams.remove(&(number, stream)).context("there is no such tar")
        };
        let pieces = self.wait(|state| (!state.unread.contains(&number)).then(|| begin(state)))??;
        loop {
            let piece = pieces.recv().context("the packs are not valid")?;
            self.send(&piece, to)?;
            if piece.is_empty() {
                return Ok(());
            }
        }
    }

    fn send(&self, piece: &[u8], to: &mut impl Write) -> Result<()> {
        to.write_all(&u32::try_from(piece.len())?.to_be_bytes())?;
        to.write_all(piece)?;
        self.carried.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn receive(&self, number: usize, name: &str, from: &mut impl Read) -> Result<u64> {
        if name == "list" {
            let mut list = Vec::new();
            from.take(LARGEST_LIST).read_to_end(&mut list)?;
            let outgoing = Outgoing::new(&self.transfer.items[number], &list)?;
            if hold(&self.state).outgoing.insert(number, outgoing).is_some() {
                bail!("there is a list already");
            }
            self.changed.notify_all();
            return Ok(list.len() as u64);
        }
        let outgoing = hold(&self.state).outgoing.remove(&number);
        let mut outgoing = outgoing.context("there is no list yet, or a pack already")?;
        let dir = self.transfer.result(number);
        std::fs::create_dir_all(&dir)?;
        let bytes = outgoing.receive(from, &dir.join("pack"))?;
        hold(&self.state).outgoing.insert(number, outgoing);
        Ok(bytes)
    }
}

struct Counted<'a, R> {
    reader: R,
    carried: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = retry::read(&mut self.reader, buffer)?;
        self.carried.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}
