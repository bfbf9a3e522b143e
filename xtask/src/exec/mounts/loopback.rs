//! Serves the files of a transfer to the RUNs of this machine's own daemon, over the loopback
//! interface. BuildKit's own way, contexts and an exporter, takes as long as packing and unpacking
//! (measured, 264 MB: 1.1 to 1.9 s), runs one after the other, and leaves a copy of every pack in
//! the builder. The client is `store/transfer/carry`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
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
const MOST_CONNECTIONS: usize = 64;

/// An open port that doesn't answer yet.
pub(crate) struct Listening {
    listener: TcpListener,
    address: Loopback,
}

impl Listening {
    /// Opens a port with an unguessable token, because other users of this machine can connect to
    /// it as well.
    pub(crate) fn open() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut random = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let word = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect();
        let (token, answer) = (word(&random[..16]), word(&random[16..]));
        let address = Loopback { port: listener.local_addr()?.port(), token, answer };
        Ok(Self { listener, address })
    }

    /// Returns the address for the RUNs.
    pub(crate) fn address(&self) -> &Loopback {
        &self.address
    }

    /// Answers until the returned value is dropped. The input of these items waits for
    /// [`Serving::pass`]. `now` is the time in seconds since 1970.
    pub(crate) fn serve(self, transfer: &Transfer, unread: BTreeSet<usize>, now: i64) -> Result<Serving> {
        let at = self.listener.local_addr()?;
        let desk = Arc::new(PackServer {
            address: self.address,
            transfer: transfer.clone(),
            now,
            state: Mutex::new(Shared { unread, ..Shared::default() }),
            changed: Condvar::new(),
            carried: Arc::default(),
            is_over: AtomicBool::new(false),
        });
        let (own, listener) = (Arc::clone(&desk), self.listener);
        let thread = std::thread::spawn(move || own.accept(&listener));
        Ok(Serving { at, desk, thread: Some(thread) })
    }
}

/// A running server. After it is dropped, nothing is read or written.
pub(crate) struct Serving {
    at: SocketAddr,
    desk: Arc<PackServer>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Returns the number of transferred bytes so far.
    pub(crate) fn carried(&self) -> &Arc<AtomicU64> {
        &self.desk.carried
    }

    /// Reports that the input of the item is intact.
    pub(crate) fn pass(&self, number: usize) {
        hold(&self.desk.state).unread.remove(&number);
        self.desk.changed.notify_all();
    }

    /// Returns the size of the files that the RUNs will be asked for, when a list has arrived since
    /// the last [`Self::grant`].
    pub(crate) fn asked(&self) -> Option<u64> {
        let state = hold(&self.desk.state);
        let is_waiting = |(number, list): (&usize, &Outgoing)| !state.is_granted(*number, list);
        state.outgoing.iter().any(is_waiting).then_some(())?;
        Some(state.outgoing.values().map(Outgoing::bytes).fold(0, u64::saturating_add))
    }

    /// Asks for the files of the lists that have arrived.
    pub(crate) fn grant(&self) {
        let mut state = hold(&self.desk.state);
        let arrived: Vec<usize> = state.outgoing.keys().copied().collect();
        state.granted.extend(arrived);
        drop(state);
        self.desk.changed.notify_all();
    }

    /// Ends the server and returns the received data.
    pub(crate) fn arrived(mut self) -> BTreeMap<usize, Outgoing> {
        self.end();
        std::mem::take(&mut hold(&self.desk.state).outgoing)
    }

    fn end(&mut self) {
        self.desk.is_over.store(true, Ordering::Relaxed);
        for stream in hold(&self.desk.state).open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.desk.changed.notify_all();
        // The accepting thread notices the end with the next connection.
        let _ = TcpStream::connect(self.at);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The common state of connections.
#[derive(Default)]
struct Shared {
    /// Items whose packs are not verified yet.
    unread: BTreeSet<usize>,
    /// Open connections, which end with the transfer.
    open: BTreeMap<u64, TcpStream>,
    /// Mounts that are being saved.
    outgoing: BTreeMap<usize, Outgoing>,
    /// Mounts for whose packs the store has space.
    granted: BTreeSet<usize>,
    /// Tars that are being restored, by item and number.
    streams: BTreeMap<(usize, usize), Receiver<Piece>>,
}

impl Shared {
    /// Returns whether the store has space for the pack of a mount.
    fn is_granted(&self, number: usize, outgoing: &Outgoing) -> bool {
        outgoing.bytes() <= SMALL_PACK || self.granted.contains(&number)
    }
}

struct PackServer {
    address: Loopback,
    transfer: Transfer,
    now: i64,
    state: Mutex<Shared>,
    changed: Condvar,
    carried: Arc<AtomicU64>,
    is_over: AtomicBool,
}

impl PackServer {
    fn accept(&self, listener: &TcpListener) {
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

#[cfg(test)]
#[path = "loopback_tests.rs"]
mod tests;
