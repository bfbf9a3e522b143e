//! Targets of the fuzzer: what each decoder of foreign input promises of any input. They are built
//! for tests, which replay the corpus, and for `cargo run --package fuzz`, which makes new inputs.

mod bundle;
mod disk_usage;
mod dockerfile;
mod entry;
mod events;
mod ignore;
mod loopback;
mod pack;
mod redaction;

use std::fs;
use std::path::Path;

/// A decoder with its promises.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Decodes an input and panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with, besides the files of the corpus.
    seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "bundle", run: bundle::run, seeds: bundle::seeds },
    Target { name: "entry", run: entry::run, seeds: entry::seeds },
    Target { name: "dockerfile", run: dockerfile::run, seeds: dockerfile::seeds },
    Target { name: "ignore", run: ignore::run, seeds: ignore::seeds },
    Target { name: "events", run: events::run, seeds: events::seeds },
    Target { name: "disk-usage", run: disk_usage::run, seeds: disk_usage::seeds },
    Target { name: "loopback", run: loopback::run, seeds: Vec::new },
    Target { name: "pack", run: pack::run, seeds: pack::seeds },
    Target { name: "redaction", run: redaction::run, seeds: Vec::new },
];

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

impl Target {
    /// The inputs that every run begins with, by name. A file that ends in `.hex` has its bytes in
    /// hexadecimal.
    ///
    /// # Errors
    ///
    /// Fails where the directory of the target cannot be read.
    pub fn corpus(&self) -> std::io::Result<Vec<(String, Vec<u8>)>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/fuzz/corpus").join(self.name);
        let seeds = (self.seeds)().into_iter().enumerate();
        let mut inputs: Vec<_> = seeds.map(|(at, seed)| (format!("seed-{at}"), seed)).collect();
        for file in fs::read_dir(dir)? {
            let file = file?;
            let (name, bytes) = (file.file_name().to_string_lossy().into_owned(), fs::read(file.path())?);
            let bytes = if name.ends_with(".hex") { from_hex(&bytes) } else { bytes };
            inputs.push((name, bytes));
        }
        inputs.sort();
        Ok(inputs)
    }
}

fn from_hex(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = text
        .iter()
        .filter_map(|c| char::from(*c).to_digit(16))
        .filter_map(|d| u8::try_from(d).ok())
        .collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_of_the_corpus_keeps_the_promises() {
        for target in TARGETS {
            let corpus = target.corpus().expect(target.name);
            assert!(corpus.len() >= 3, "{} has {} inputs", target.name, corpus.len());
            for (name, input) in corpus {
                println!("{}/{name}: {} bytes", target.name, input.len());
                (target.run)(&input);
            }
        }
    }

    #[test]
    fn a_target_sees_a_promise_that_is_broken() {
        assert_eq!(from_hex(b"00 ff\n7e"), [0, 0xff, 0x7e]);
        let broken = std::panic::catch_unwind(|| bundle::inside("/s/layers", Path::new("/s/layers/../x")));
        assert!(broken.is_err());
        assert!(target("bundle").is_some() && target("unknown").is_none());
    }
}
