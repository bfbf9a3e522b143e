//! Sends what is written in pieces to another thread.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The size of a piece in bytes.
const PIECE: usize = 1 << 18;
/// The number of pieces that wait for the other thread.
const WAITING: usize = 8;

/// A piece of a tar. The last one is empty. Without an empty one, the tar is incomplete.
pub(super) type Piece = Vec<u8>;

/// Sends pieces, and an empty one at the end.
pub(super) struct Sink {
    sender: SyncSender<Piece>,
    piece: Piece,
}

impl Sink {
    /// Creates a sink and the receiver of its pieces.
    pub(super) fn new() -> (Self, Receiver<Piece>) {
        let (sender, receiver) = sync_channel(WAITING);
        (Self { sender, piece: Vec::with_capacity(PIECE) }, receiver)
    }

    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.sender.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.piece.is_empty() {
            self.send()?;
        }
        self.piece = Piece::new();
        self.send()
    }
}

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let bytes = buffer.len().min(PIECE - self.piece.len());
        self.piece.extend(&buffer[..bytes]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
