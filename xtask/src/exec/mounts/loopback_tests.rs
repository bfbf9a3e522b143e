//! The files of a transfer, requested as a RUN does.

use std::io::Write;

use crate::exec::mounts::loopback::*;
use crate::exec::mounts::pack_server::MOST_CONNECTIONS;
use crate::plan::mounts::Direction;
use crate::plan::mounts::fixtures::transfer;

/// Serves it, and returns the address.
fn serve(transfer: &Transfer, unread: &[usize]) -> (Serving, Loopback) {
    let listening = Listening::open().expect("a port");
    let at = listening.address().clone();
    let serving = listening.serve(transfer, unread.iter().copied().collect(), 0).expect("it serves");
    (serving, at)
}

/// Sends a request and returns the answer.
fn ask(at: &Loopback, said: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, at.port)).expect("somebody listens");
    stream.write_all(said).expect("said");
    stream.shutdown(Shutdown::Write).expect("shut");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

const LIST: &[u8] = b"d 755 0 0 0 0 5 .\0f 644 0 0 3 1 5 ./x\0";

#[test]
fn a_save_sends_a_list_and_what_it_is_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let transfer = transfer(dir.path(), Direction::Save);
    let (serving, at) = serve(&transfer, &[]);
    let said = |words: &str, more: &[u8]| {
        let answer = ask(&at, &[format!("{} {words}\n", at.token).as_bytes(), more].concat());
        answer.strip_prefix(at.answer.as_bytes()).map(<[u8]>::to_vec)
    };
    let asking = std::thread::scope(|scope| {
        let names = scope.spawn(|| said("0 get names", b""));
        let length = LIST.len() as u64;
        assert_eq!(said("0 put list", LIST), Some(length.to_be_bytes().to_vec()));
        names.join().expect("an answer")
    });
    assert_eq!(asking.as_deref(), Some(&b"\0\0\0\x04./x\0\0\0\0\0"[..]), "it waits for the list");
    assert_eq!(said("0 put list", LIST), Some(Vec::new()), "one list a mount");
    let mut header = tar::Header::new_ustar();
    header.set_path("./x").expect("short");
    header.set_size(3);
    header.set_mtime(5);
    header.set_cksum();
    let pack = [&header.as_bytes()[..], b"abc", &[0; 509]].concat();
    assert_eq!(said("0 put pack", &pack), Some(1024_u64.to_be_bytes().to_vec()));
    for request in ["0 get stream-0", "0 put manifest", "0 put ../list", "1 put pack", "0 get", "", "0 put"] {
        assert_eq!(said(request, b"abc"), None, "{request}");
    }
    assert_eq!(ask(&at, b"guessed 0 put list\nx"), b"");
    let kept = serving.arrived().remove(&0).expect("it arrived").keep();
    assert_eq!(kept.list.expect("something").files(), 2);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, at.port)).is_err(), "nobody listens any more");
}

#[test]
fn a_large_pack_is_asked_for_when_there_is_space() {
    let dir = tempfile::tempdir().expect("a directory");
    let (serving, at) = serve(&transfer(dir.path(), Direction::Save), &[]);
    let said =
        |words: &str, more: &[u8]| ask(&at, &[format!("{} {words}\n", at.token).as_bytes(), more].concat());
    assert_eq!(serving.asked(), None);
    said("0 put list", b"d 755 0 0 0 0 5 .\0f 644 0 0 70000 1 5 ./x\0");
    assert_eq!(serving.asked(), Some(70_000));
    std::thread::scope(|scope| {
        let names = scope.spawn(|| said("0 get names", b""));
        serving.grant();
        let names = names.join().expect("an answer");
        assert!(names.ends_with(b"./x\0\0\0\0\0"), "{names:?}");
    });
    assert_eq!(serving.asked(), None);
}

#[test]
fn a_restore_takes_nothing_from_the_builder() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_serving, at) = serve(&transfer(dir.path(), Direction::Restore), &[]);
    for request in ["0 put list", "0 put pack", "0 get names"] {
        assert_eq!(ask(&at, format!("{} {request}\nx", at.token).as_bytes()), b"", "{request}");
    }
}

#[test]
fn packs_that_are_not_verified_are_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let transfer = transfer(dir.path(), Direction::Restore);
    let (serving, at) = serve(&transfer, &[0]);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, at.port)).expect("somebody listens");
    stream.write_all(format!("{} 0 get stream-0\n", at.token).as_bytes()).expect("said");
    let mut answer = vec![0; at.answer.len()];
    stream.read_exact(&mut answer).expect("it was understood");
    assert_eq!(answer, at.answer.as_bytes());
    drop(serving);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(rest, b"", "nothing was sent");
}

#[test]
fn connections_without_a_token_keep_nobody_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let transfer = transfer(dir.path(), Direction::Save);
    let (serving, at) = serve(&transfer, &[]);
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, at.port)).expect("somebody listens");
    // Connections are closed after an invalid request, and so are their descriptors.
    for _ in 0..3 * MOST_CONNECTIONS {
        let mut stream = connect();
        stream.write_all(b"x\n").expect("said");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    let answer = ask(&at, &[format!("{} 0 put list\n", at.token).as_bytes(), LIST].concat());
    assert!(answer.starts_with(at.answer.as_bytes()) && answer.len() > at.answer.len());
    drop(serving);
}
