//! Headless Chromium: the measurements of a page, and a picture of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The settings with which a page is viewed.
#[derive(Clone, Copy)]
pub struct Look {
    pub width: u64,
    pub dark: bool,
}

/// An installed browser.
pub struct Browser {
    program: PathBuf,
    env: Vec<(String, String)>,
}

/// Shows the page in a frame of the given width and writes its measurements into itself.
const PROBE: &str = r#"<!DOCTYPE html><body><iframe id="f" src="PAGE" width="WIDTH" height="800" style="border:0"></iframe><pre id="out"></pre>
<script>document.getElementById("f").onload = e => {
  const d = e.target.contentDocument, w = e.target.contentWindow.innerWidth, out = [];
  for (const x of d.body.querySelectorAll("*:not(.skip)")) {
    const box = x.getBoundingClientRect();
    if (box.width && (box.right > w + 0.5 || box.left < -0.5)) out.push(x.tagName + " " + x.className + " " + box.left + ".." + box.right);
  }
  const skip = d.querySelector(".skip"); skip.focus(); const at = skip.getBoundingClientRect();
  const heads = [...d.querySelectorAll("h1,h2,h3")].map(h => +h.tagName[1]);
  document.getElementById("out").textContent = btoa(unescape(encodeURIComponent(JSON.stringify({
    width: w, scroll: d.documentElement.scrollWidth, outside: out, height: d.documentElement.scrollHeight,
    skip: at.left >= 0 && at.right <= w, steps: heads.every((h, i) => h <= (heads[i - 1] || 0) + 1),
    scheme: getComputedStyle(d.body).backgroundColor, text: d.body.innerText}))));
}</script>"#;

impl Browser {
    /// Returns `$CHROMIUM`, a browser on the PATH, or the one that `cargo xtask test --provision`
    /// installed.
    pub fn find() -> Self {
        let host = xtask::testing::host::Host::read();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("a root");
        let layout = xtask::testing::layout::Layout::new(root, "/nonexistent");
        let found = xtask::testing::provision::browser::find(&host, &layout);
        let found = found
            .expect("no browser is here: `cargo xtask test --provision` brings one, CHROMIUM names another");
        Self { program: found.program, env: found.env }
    }

    fn command(&self, look: Look) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
        ]);
        command.args(["--disable-dev-shm-usage", "--no-first-run", "--disable-crash-reporter"]);
        command.arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!look.dark)));
        command
    }

    /// Returns the measurements of a page.
    pub fn probe(&self, page: &Path, look: Look) -> Value {
        let dir = tempfile::tempdir().expect("a directory");
        let probe = page.with_file_name("probe.html");
        let name = page.file_name().expect("a name").to_string_lossy();
        let text = PROBE.replace("PAGE", &name).replace("WIDTH", &look.width.to_string());
        fs::write(&probe, text).expect("written");
        let mut command = self.command(look);
        command.arg(format!("--user-data-dir={}", dir.path().display()));
        command.args(["--virtual-time-budget=5000", "--window-size=1600,1000", "--dump-dom"]);
        let output = command.arg(format!("file://{}", probe.display())).output().expect("the browser runs");
        let dom = String::from_utf8_lossy(&output.stdout).into_owned();
        let data =
            dom.split("<pre id=\"out\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
        let bytes =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap_or_default();
        serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| panic!("{dom}\n{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Saves a picture of the whole page in `target/report/`.
    pub fn picture(&self, page: &Path, look: Look, name: &str) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/report");
        fs::create_dir_all(&dir).expect("made");
        let height = self.probe(page, look)["height"].as_u64().expect("a height");
        let data = tempfile::tempdir().expect("a directory");
        let file = dir.join(name);
        let mut command = self.command(look);
        command.arg(format!("--user-data-dir={}", data.path().display()));
        command.arg(format!("--window-size={},{height}", look.width));
        command.arg(format!("--screenshot={}", file.display())).arg(format!("file://{}", page.display()));
        let output = command.output().expect("the browser runs");
        assert!(file.is_file(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
