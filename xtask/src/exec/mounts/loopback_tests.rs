//! The files of a transfer, asked for as a RUN does.

use crate::exec::mounts::loopback::*;
use crate::plan::mounts::{Direction, PlannedMount, TransferTemplate};

/// A transfer of one mount, with a pack to be read.
fn transfer(dir: &std::path::Path) -> Transfer {
    let mount = PlannedMount {
        dir: dir.join("mount"),
        identity: crate::project::mount::MountIdentity::default(),
        sharing: crate::project::mount::Sharing::Shared,
        target: "/m".into(),
        held: None,
        uses: Vec::new(),
    };
    let carrier = TransferTemplate { scratch: dir.to_path_buf(), ..TransferTemplate::default() };
    let transfer = carrier.transfer(Direction::Save, &[mount], &[].into(), "n", 0, None);
    fs::create_dir_all(transfer.input(0)).expect("made");
    fs::write(transfer.input(0).join("pack-000.zst"), "0123456789").expect("written");
    transfer
}

/// Serves it, and says where.
fn serve(transfer: &Transfer, unread: &[usize]) -> (Serving, Loopback) {
    let listening = Listening::open().expect("a port");
    let at = listening.address().clone();
    let serving = listening.serve(transfer, unread.iter().copied().collect()).expect("it serves");
    (serving, at)
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
    fs::write(transfer.dir.join("in/secret"), "no").expect("written");
    let (serving, at) = serve(&transfer, &[]);
    let said = |words: &str| ask(&at, &format!("{} {words}", at.token));
    assert_eq!(said("0 get pack-000.zst 0 -\n"), "10\n0123456789");
    assert_eq!(said("0 get pack-000.zst 2 3\n"), "3\n234");
    assert_eq!(said("0 get pack-000.zst -4 -\n"), "4\n6789");
    assert_eq!(said("0 get pack-000.zst -40 -\n"), "10\n0123456789");
    assert_eq!(said("0 put pack 0 -\nabc"), "3\n");
    assert_eq!(said("0 put pack 0 -\nde"), "2\n");
    assert_eq!(serving.carried().load(Ordering::Relaxed), 10 + 3 + 4 + 10 + 3 + 2);
    assert_eq!(fs::read_to_string(transfer.result(0).join("pack")).expect("it arrived"), "abcde");
    for request in ["0 get ../secret 0 -\n", "1 get pack-000.zst 0 -\n", "0 put .x 0 -\nabc", "0 get", ""] {
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
    for is_whole in [true, false] {
        let (serving, at) = serve(&transfer, &[0]);
        let asking = std::thread::spawn(move || ask(&at, &format!("{} 0 get pack-000.zst 0 -\n", at.token)));
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
