//! Compresses with zstd in xtask, so that a builder needs neither the tool nor a network to install
//! it. This machine's `zstd` uses all processors; without it, a slower built-in implementation is
//! used.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, PipeWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress};

use crate::files;
use crate::process::retry;

/// The tool, if this machine has it.
const TOOL: &str = "zstd";

/// The number of bytes per read, decompression or write.
const PIECE: usize = 1 << 18;

/// Opens a compressed file for reading. Several frames form one text.
pub(super) fn reader(path: &Path) -> Result<Box<dyn Read + Send>> {
    let file = files::open_to_read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    match tool(&["-dcq"], file.try_clone()?.into(), Stdio::piped())? {
        Some(mut child) => match child.stdout.take() {
            Some(stdout) => {
                let stdout = BufReader::with_capacity(PIECE, stdout);
                Ok(Box::new(ToolReader { child, stdout }))
            }
            None => bail!("`{TOOL}` has no stdout"),
        },
        None => Ok(Box::new(BuiltInReader {
            file: BufReader::with_capacity(PIECE, file),
            decoder: FrameDecoder::new(),
            is_within: false,
        })),
    }
}

/// Starts the tool. Returns `None` if this machine doesn't have it.
fn tool(options: &[&str], stdin: Stdio, stdout: Stdio) -> Result<Option<Child>> {
    match Command::new(TOOL).args(options).stdin(stdin).stdout(stdout).stderr(Stdio::null()).spawn() {
        Ok(child) => Ok(Some(child)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to run `{TOOL}`")),
    }
}

struct ToolReader {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Read for ToolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = retry::read(&mut self.stdout, buffer)?;
        if bytes == 0 && !buffer.is_empty() && !self.child.wait()?.success() {
            return Err(io::Error::other("it is not valid zstd data"));
        }
        Ok(bytes)
    }
}

impl Drop for ToolReader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct BuiltInReader {
    file: BufReader<File>,
    decoder: FrameDecoder,
    is_within: bool,
}

impl BuiltInReader {
    /// Goes to the next frame with data. Returns false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.file.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.file) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut self.file.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl Read for BuiltInReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let bytes = retry::read(&mut self.decoder, buffer)?;
            if bytes > 0 || buffer.is_empty() {
                return Ok(bytes);
            }
            self.is_within = self.is_within && !self.decoder.is_finished();
            if !self.is_within && !self.next_frame()? {
                return Ok(0);
            }
            self.is_within = true;
            let some = BlockDecodingStrategy::UptoBytes(PIECE);
            self.decoder.decode_blocks(&mut self.file, some).map_err(io::Error::other)?;
        }
    }
}

/// Compresses the written data to a file.
pub(super) enum Writer {
    /// With the tool.
    Tool(Child, BufWriter<ChildStdin>),
    /// In this process.
    BuiltIn(BufWriter<PipeWriter>, JoinHandle<()>),
}

/// Creates a compressed file.
pub(super) fn create(path: &Path) -> Result<Writer> {
    let file = File::create(path).with_context(|| format!("failed to write `{}`", path.display()))?;
    if let Some(mut child) = tool(&["-q", "-3", "-T0", "-c"], Stdio::piped(), file.try_clone()?.into())? {
        let stdin = child.stdin.take().context("it has no stdin")?;
        return Ok(Writer::Tool(child, BufWriter::with_capacity(PIECE, stdin)));
    }
    let (from, to) = io::pipe()?;
    let thread = std::thread::spawn(move || compress(from, file, CompressionLevel::Fastest));
    Ok(Writer::BuiltIn(BufWriter::with_capacity(PIECE, to), thread))
}

impl Writer {
    /// Completes the file. Fails if it is incomplete.
    pub(super) fn finish(self) -> Result<()> {
        let is_whole = match self {
            Self::Tool(mut child, stdin) => {
                let is_flushed = stdin.into_inner().map(drop).is_ok();
                child.wait()?.success() && is_flushed
            }
            Self::BuiltIn(pipe, thread) => {
                let is_flushed = pipe.into_inner().map(drop).is_ok();
                thread.join().is_ok() && is_flushed
            }
        };
        if !is_whole {
            bail!("failed to compress; check that the disk has space");
        }
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tool(_, stdin) => stdin.write(buffer),
            Self::BuiltIn(pipe, _) => pipe.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses a short text to a file.
pub(super) fn write(path: &Path, text: &[u8]) -> Result<()> {
    let mut writer = create(path)?;
    writer.write_all(text).with_context(|| format!("failed to write `{}`", path.display()))?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in(path: &Path) -> io::Result<Vec<u8>> {
        let file = BufReader::new(File::open(path)?);
        let mut text = Vec::new();
        BuiltInReader { file, decoder: FrameDecoder::new(), is_within: false }.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn what_was_compressed_is_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.zst");
        let text: Vec<u8> = (0..700_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for part in [&text[..], &text[..1], b""] {
            write(&path, part).expect("written");
            let mut read = Vec::new();
            reader(&path).expect("opened").read_to_end(&mut read).expect("read");
            assert!(read == part);
            assert!(built_in(&path).expect("read") == part);
            compress(part, File::create(&path).expect("made"), CompressionLevel::Fastest);
            assert!(built_in(&path).expect("read") == part);
        }
    }

    #[test]
    fn several_frames_are_one_text_and_damage_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.zst");
        let mut all = Vec::new();
        for part in ["one ", "two "] {
            write(&path, part.as_bytes()).expect("written");
            all.extend(std::fs::read(&path).expect("read"));
        }
        all.extend(b"P*M\x18\x04\0\0\0skip");
        std::fs::write(&path, &all).expect("written");
        assert_eq!(built_in(&path).expect("read"), b"one two ");
        std::fs::write(&path, &all[..all.len() / 3]).expect("written");
        assert!(built_in(&path).is_err());
        assert!(reader(&path).expect("opened").read_to_end(&mut Vec::new()).is_err());
    }
}
