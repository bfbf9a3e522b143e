//! The files of a transfer over the loopback interface. Each line of an input that begins with a
//! `>` is the beginning of a request of its own, `T` in its place stands for the token.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};

use walkdir::WalkDir;

use crate::exec::mounts::loopback::{Listening, Serving};
use crate::plan::mounts::Direction;
use crate::plan::mounts::fixtures::transfer;
use crate::plan::mounts::transfer::{Loopback, Transfer};

pub(super) fn run(input: &[u8]) {
    let (way, requests) = match input.split_first() {
        Some((b'R', rest)) => (Direction::Restore, rest),
        _ => (Direction::Save, input),
    };
    let dir = tempfile::tempdir().expect("a directory");
    let transfer = transfer(dir.path(), way);
    let listening = Listening::open().expect("a port");
    let at = listening.address().clone();
    let serving = listening.serve(&transfer, [].into(), 0).expect("it serves");
    for request in requests.split(|byte| *byte == b'>').filter(|request| !request.is_empty()).take(6) {
        let (token, request) = match request.strip_prefix(b"T ") {
            Some(rest) => (format!("{} ", at.token), rest),
            None => (String::new(), request),
        };
        // The server would wait for a list.
        let words: Vec<&[u8]> =
            request.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        if way == Direction::Save && words.get(1) == Some(&&b"get"[..]) {
            continue;
        }
        let answer = ask(&at, &[token.as_bytes(), request].concat());
        let is_known = answer.starts_with(at.answer.as_bytes());
        assert!(is_known || answer.is_empty(), "{answer:?}");
        assert!(!is_known || !token.is_empty(), "it answers without the token");
    }
    ended(serving, dir.path(), &transfer);
}

/// Only the pack of a save is written, and only there.
fn ended(serving: Serving, dir: &std::path::Path, transfer: &Transfer) {
    let arrived = serving.arrived();
    let pack = transfer.result(0).join("pack");
    for file in WalkDir::new(dir).into_iter().filter_map(Result::ok).filter(|file| file.path().is_file()) {
        assert!(file.path() == pack && transfer.direction == Direction::Save, "{file:?}");
    }
    assert!(transfer.direction == Direction::Save || arrived.is_empty());
    arrived.into_values().for_each(|outgoing| drop(outgoing.keep()));
}

fn ask(at: &Loopback, said: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, at.port)).expect("somebody listens");
    // The server may close the connection before all was sent.
    let _ = stream.write_all(said);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}
