//! A relay to a server whose ports are not reachable from this machine, because the engine is
//! behind TCP or SSH. Each connection to an address of this machine is forwarded by one
//! `docker exec`, so nothing is published on the network of the engine's machine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::Result;

use super::stage;
use crate::process::retry;

const SCRIPT: &str = include_str!("php/relay.php");

/// Listens on a port of the loopback interface until it is dropped.
pub(super) struct Relay {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts to listen for connections to `port` in the container. `command` returns a command of
    /// the engine with these arguments.
    pub(super) fn start(
        container: &str,
        port: u16,
        command: impl Fn(&[&str]) -> Command + Send + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let code = format!("$port = {port};{}", stage::code(SCRIPT));
        let container = container.to_owned();
        let ends = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            for connection in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let args = ["exec", "--interactive", &container, "frankenphp", "php-cli", "-r", &code];
                let Ok(connection) = connection else { continue };
                // A connection that cannot be forwarded is closed, which its request reports.
                if let Ok(child) =
                    command(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
                {
                    thread::spawn(move || drop(carry(&connection, child)));
                }
            }
        });
        Ok(Self { address, is_over, thread: Some(thread) })
    }

    /// Returns the address on this machine, as `HOST:PORT`.
    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let is_woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| is_woken) {
            let _ = thread.join();
        }
    }
}

/// Forwards one connection both ways until the server or the client closes it.
fn carry(connection: &TcpStream, mut child: Child) -> io::Result<()> {
    if let (Some(mut stdin), Ok(mut from)) = (child.stdin.take(), connection.try_clone()) {
        thread::spawn(move || copy(&mut from, &mut stdin));
    }
    if let Some(mut stdout) = child.stdout.take() {
        let mut to = connection;
        let _ = copy(&mut stdout, &mut to);
    }
    let _ = connection.shutdown(Shutdown::Both);
    // The server's answer is complete, so the rest in the container may be killed.
    let _ = child.kill();
    child.wait().map(drop)
}

/// Copies until the end, and passes each piece on at once: the checks measure its arrival.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 64 * 1024];
    loop {
        match retry::read(from, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count]).and_then(|()| to.flush())?,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cat` instead of a container: the sent data comes back.
    #[test]
    fn a_connection_is_carried_both_ways_and_the_end_frees_the_port() {
        let relay = Relay::start("none", 80, |args| {
            assert_eq!(args[..4], ["exec", "--interactive", "none", "frankenphp"]);
            assert!(args.last().is_some_and(|code| code.starts_with("$port = 80;")));
            Command::new("cat")
        })
        .unwrap();
        let mut one = TcpStream::connect(relay.address()).unwrap();
        let mut two = TcpStream::connect(relay.address()).unwrap();
        for (stream, text) in [(&mut one, "first"), (&mut two, "second")] {
            stream.write_all(text.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut back = String::new();
            stream.read_to_string(&mut back).unwrap();
            assert_eq!(back, text);
        }
        let address = relay.address();
        drop(relay);
        assert!(TcpStream::connect(address).is_err());
    }
}
