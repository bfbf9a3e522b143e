//! Requests and answers, on recorded bytes and on a server of the test.

use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::SIGUSR2;

use super::*;

#[test]
fn early_heads_come_before_the_answer() {
    let bytes =
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (early, head, body) = parse(bytes).unwrap();
    assert_eq!((early.len(), early[0].status, early[0].header("link")), (1, 103, Some("</a>")));
    assert_eq!((head.status, body.as_slice()), (200, b"ok".as_slice()));
}

/// A signal interrupts a read that has a timeout, whatever its handler asks for.
#[test]
fn signals_do_not_end_the_wait_for_an_answer() {
    let is_handled = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGUSR2, Arc::clone(&is_handled)).expect("a handler");
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address").to_string();
    let (sender, threads) = mpsc::channel();
    let asking = std::thread::spawn(move || {
        sender.send(std::fs::read_link("/proc/thread-self").expect("Linux has it")).expect("sent");
        send(&address, &Request::get("/"), Duration::from_secs(60))
    });
    let thread = threads.recv().expect("a thread");
    let thread = thread.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("its id");
    let (mut connection, _) = server.accept().expect("a connection");
    for _ in 0..100 {
        // The kernel prefers the thread that the id names.
        kill_process(Pid::from_raw(thread).expect("an id"), Signal::USR2).expect("it waits");
        let begun = Instant::now();
        while !is_handled.swap(false, Ordering::SeqCst) {
            assert!(begun.elapsed() < Duration::from_secs(60), "the signal is not handled");
            std::thread::yield_now();
        }
    }
    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("written");
    drop(connection);
    assert_eq!(asking.join().expect("an end").expect("an answer").text(), "ok");
}

#[test]
fn chunks_are_put_together() {
    let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n";
    assert_eq!(parse(bytes).unwrap().2, b"abcd");
}

/// Waits for the time limit if it waits for the server.
#[test]
fn an_answer_may_end_with_its_length_on_a_connection_that_stays_open() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address");
    let ask = |answer: &[u8]| {
        let stream = TcpStream::connect(address).expect("it listens");
        let (mut connection, _) = server.accept().expect("a connection");
        connection.write_all(answer).expect("written");
        let bounds =
            Bounds { deadline: Instant::now() + Duration::from_secs(3), bytes: 100, by_length: true };
        exchange(stream, "m.test", &Request::get("/"), &bounds).map(|response| response.text())
    };
    assert_eq!(ask(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("an answer"), "ok");
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    assert_eq!(ask(chunks).expect("an answer"), "ok");
    ask(b"HTTP/1.1 200 OK\r\n\r\nok").expect_err("it may go on");
    ask(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok").expect_err("it goes on");
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}", "x".repeat(200));
    assert!(ask(large.as_bytes()).expect_err("too large").to_string().contains("larger than 100 bytes"));
}

#[test]
fn a_cut_answer_is_an_error() {
    let cut: [&[u8]; 8] = [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFD\r\nab",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
    ];
    for bytes in cut {
        assert!(parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_request_has_the_length_of_its_body() {
    let request = Request::post("/a?b=1", b"four").header("Cookie", "c=d");
    assert_eq!(
        request.head("127.0.0.1:80"),
        "POST /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\nContent-Length: 4\r\nCookie: c=d\r\n\r\n"
    );
}

/// Otherwise late hints would look like early ones.
#[test]
fn a_held_body_is_sent_after_the_answer_begins() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address").to_string();
    let asking =
        std::thread::spawn(move || send(&address, &Request::put_held("/", b"held"), Duration::from_secs(60)));
    let (mut connection, _) = server.accept().expect("a connection");
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).expect("a head");
        seen.push(byte[0]);
    }
    assert!(seen.starts_with(b"PUT / HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&seen));
    connection.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
    assert!(retry::read(&mut connection, &mut byte).is_err(), "the body came before the answer");
    connection.set_read_timeout(None).expect("set");
    connection.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").expect("written");
    let mut body = [0; 4];
    connection.read_exact(&mut body).expect("the body");
    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").expect("written");
    connection.write_all(&body).expect("written");
    drop(connection);
    let answer = asking.join().expect("an end").expect("an answer");
    assert_eq!((answer.early.len(), answer.text()), (1, "held".into()));
}
