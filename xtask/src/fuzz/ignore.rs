//! Ignore files, a path a line after a line `--`. What the patterns mean is compared with moby's
//! matcher elsewhere; here is what holds for any of them.

use crate::project::ignore::{Glob, Ignore, Matched};

pub(super) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (ignore_text, paths) = text.split_once("\n--\n").unwrap_or((&text, "a/b/c.txt\n.git/config\nx"));
    let Ok(ignore) = Ignore::try_parse(ignore_text) else { return };
    let again = Ignore::new(ignore.text().lines().map(str::to_owned));
    if !ignore.text().contains(['\r', '\u{b}', '\u{c}', '\u{85}']) {
        assert_eq!(again.map(|again| again.text()), Ok(ignore.text()), "patterns are kept as they are");
    }
    for path in paths.lines().take(20).filter(|path| !path.is_empty()) {
        let _ = (ignore.excludes(path), ignore.readmits(path), ignore.may_bring_back_below(path));
        let Ok(found) = ignore.matches(path, &Matched::default()) else { continue };
        assert!(!found.is_match || !ignore.is_empty(), "nothing matches no pattern");
        assert!(!(ignore.readmits(path) && ignore.excludes(path)));
    }
    for line in ignore_text.lines().take(20) {
        let Some(glob) = Glob::new(line) else { continue };
        let is_plain = !line.contains(['*', '?', '[', '\\']);
        assert!(!is_plain || glob.matches(line), "a name matches itself: {line:?}");
        paths.lines().take(20).for_each(|path| {
            let _ = glob.matches(path);
        });
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let repeated = format!("*{}\n--\n{}", "a{0,1000}".repeat(20), "a".repeat(100));
    vec![repeated.into_bytes(), "x\n\u{feff}**/x\n\u{feff}**\n--\na/x\nx".into()]
}
