//! The files of a transfer for the RUNs of this machine's own daemon, over the loopback interface. What BuildKit has for it, contexts and an
//! exporter, takes as long as packing and unpacking themselves (measured, 264 MB: 1.1 to 1.9 s), one after the other, and leaves a copy of
//! every pack in the builder. The other end is `cache/transfer/carry`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::plan::transfer::{Loopback, Transfer};

/// How long somebody may take to say what they want.
const PATIENCE: Duration = Duration::from_secs(10);

/// No request is as long.
const LONGEST: u64 = 500;

/// A port that nobody is answered at yet.
pub(super) struct Listening {
    listener: TcpListener,
    address: Loopback,
}

impl Listening {
    /// Opens one, with a token that nobody can guess: other users of this machine reach the port as well.
    pub(super) fn open() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut random = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let token = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let address = Loopback { port: listener.local_addr()?.port(), token };
        Ok(Self { listener, address })
    }

    /// What the RUNs are told.
    pub(super) fn address(&self) -> &Loopback {
        &self.address
    }

    /// Answers until what this gives is dropped. What the items of these numbers read waits for [`Serving::pass`].
    pub(super) fn serve(self, transfer: &Transfer, unread: BTreeSet<usize>) -> Result<Serving> {
        let at = self.listener.local_addr()?;
        let desk = Arc::new(Desk {
            token: self.address.token,
            transfer: transfer.clone(),
            unread: Mutex::new(unread),
            passed: Condvar::new(),
            is_over: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let (own, listener) = (Arc::clone(&desk), self.listener);
        let thread = std::thread::spawn(move || own.accept(&listener));
        Ok(Serving { at, desk, thread: Some(thread) })
    }
}

/// Ends with this value: nothing is read or written for anybody after that.
pub(super) struct Serving {
    at: SocketAddr,
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// What the item reads is what it was when it was saved.
    pub(super) fn pass(&self, number: usize) {
        hold(&self.desk.unread).remove(&number);
        self.desk.passed.notify_all();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.desk.is_over.store(true, Ordering::Relaxed);
        drop(hold(&self.desk.unread));
        self.desk.passed.notify_all();
        for stream in hold(&self.desk.open).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Whoever accepts sees it with the next one.
        let _ = TcpStream::connect(self.at);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Desk {
    token: String,
    transfer: Transfer,
    unread: Mutex<BTreeSet<usize>>,
    passed: Condvar,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Desk {
    fn accept(&self, listener: &TcpListener) {
        std::thread::scope(|scope| {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut open = hold(&self.open);
                if self.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(other) = stream.try_clone() else { return };
                open.push(other);
                scope.spawn(move || {
                    // Whoever does not get what they want ends with an error, and so does their RUN.
                    let _ = self.answer(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
    }

    fn answer(&self, stream: &TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::with_capacity(1 << 18, stream);
        let mut line = String::new();
        reader.by_ref().take(LONGEST).read_line(&mut line)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [token, number, verb, name, from, length] = words[..] else { bail!("no request: {line}") };
        if token != self.token || !self.transfer.may_have(number, name) {
            bail!("not for us: {verb} {number} {name}");
        }
        let number: usize = number.parse()?;
        match verb {
            "get" => {
                let waits = |unread: &mut BTreeSet<usize>| {
                    unread.contains(&number) && !self.is_over.load(Ordering::Relaxed)
                };
                drop(self.passed.wait_while(hold(&self.unread), waits));
                if self.is_over.load(Ordering::Relaxed) {
                    bail!("nothing is passed on any more");
                }
                let mut file = File::open(self.transfer.input(number).join(name))?;
                let size = file.metadata()?.len();
                let from: i64 = from.parse()?;
                let from =
                    if from < 0 { size.saturating_sub(from.unsigned_abs()) } else { from.unsigned_abs() };
                file.seek(SeekFrom::Start(from))?;
                let length = length.parse().unwrap_or(u64::MAX).min(size.saturating_sub(from));
                writeln!(&mut &*stream, "{length}")?;
                io::copy(&mut file.take(length), &mut &*stream)?;
                Ok(())
            }
            "put" => {
                // Packing takes as long as it takes.
                stream.set_read_timeout(None)?;
                let dir = self.transfer.result(number);
                fs::create_dir_all(&dir)?;
                let mut file = File::options().create(true).append(true).open(dir.join(name))?;
                let length = io::copy(&mut reader, &mut file).context("failed to receive it")?;
                writeln!(&mut &*stream, "{length}")?;
                Ok(())
            }
            _ => bail!("no request: {line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::mounts::{Carrier, PlannedMount, Way};

    fn transfer(dir: &std::path::Path) -> Transfer {
        let mount = PlannedMount {
            dir: dir.join("mount"),
            identity: crate::cache::mount::MountIdentity::default(),
            sharing: crate::cache::mount::Sharing::Shared,
            target: "/m".into(),
            held: None,
            uses: Vec::new(),
        };
        let carrier = Carrier { scratch: dir.to_path_buf(), ..Carrier::default() };
        carrier.transfer(Way::Out, &[mount], &[].into(), "n", 0, None)
    }

    /// Says something and gives the answer.
    fn ask(at: &Loopback, said: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, at.port)).expect("somebody listens");
        stream.write_all(said.as_bytes()).expect("said");
        stream.shutdown(Shutdown::Write).expect("shut");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn what_has_the_token_reads_and_leaves_the_items_files_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let transfer = transfer(dir.path());
        fs::create_dir_all(transfer.input(0)).expect("made");
        fs::write(transfer.input(0).join("pack-000.zst"), "0123456789").expect("written");
        fs::write(transfer.dir.join("in/secret"), "no").expect("written");
        let listening = Listening::open().expect("a port");
        let at = listening.address().clone();
        let serving = listening.serve(&transfer, BTreeSet::new()).expect("it serves");
        let said = |words: &str| ask(&at, &format!("{} {words}", at.token));
        assert_eq!(said("0 get pack-000.zst 0 -\n"), "10\n0123456789");
        assert_eq!(said("0 get pack-000.zst 2 3\n"), "3\n234");
        assert_eq!(said("0 get pack-000.zst -4 -\n"), "4\n6789");
        assert_eq!(said("0 get pack-000.zst -40 -\n"), "10\n0123456789");
        assert_eq!(said("0 put pack 0 -\nabc"), "3\n");
        assert_eq!(said("0 put pack 0 -\nde"), "2\n");
        assert_eq!(fs::read_to_string(transfer.result(0).join("pack")).expect("it arrived"), "abcde");
        for request in ["0 get ../secret 0 -\n", "1 get pack-000.zst 0 -\n", "0 put .x 0 -\nabc", "0 get", ""]
        {
            assert_eq!(said(request), "", "{request}");
        }
        assert_eq!(ask(&at, "guessed 0 get pack-000.zst 0 -\n"), "");
        drop(serving);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, at.port)).is_err(), "nobody listens any more");
    }

    #[test]
    fn what_nobody_has_read_yet_is_waited_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let transfer = transfer(dir.path());
        fs::create_dir_all(transfer.input(0)).expect("made");
        fs::write(transfer.input(0).join("pack-000.zst"), "0123456789").expect("written");
        for is_whole in [true, false] {
            let listening = Listening::open().expect("a port");
            let at = listening.address().clone();
            let serving = listening.serve(&transfer, [0].into()).expect("it serves");
            let asking =
                std::thread::spawn(move || ask(&at, &format!("{} 0 get pack-000.zst 0 -\n", at.token)));
            std::thread::sleep(Duration::from_millis(100));
            assert!(!asking.is_finished(), "not before it was read");
            if is_whole {
                serving.pass(0);
            } else {
                drop(serving);
            }
            let answer = asking.join().expect("an answer");
            assert_eq!(answer, if is_whole { "10\n0123456789" } else { "" });
        }
    }
}
