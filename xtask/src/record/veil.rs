//! What no record may hold: values of secrets, passwords in URLs, arguments that look secret. Known values are hidden wherever they stand,
//! and what looks like a password is hidden where nobody knew it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::host::Host;
use crate::plan::call::to_csv;
use crate::plan::options::BuildOptions;
use crate::project::Declaration;

/// What stands in for what is hidden.
const HIDDEN: &str = "***";
/// A shorter value than this is no secret worth the name, and hiding it would tear holes into words.
const SHORTEST: usize = 6;
/// A larger file than this is no password.
const LARGEST: u64 = 64 * 1024;
/// Parts of a name whose value is a secret.
const SECRET: &[&str] = &[
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "credential",
    "credentials",
    "signature",
];
/// What a key must be of to be one.
const KEYS: &[&str] = &["api", "access", "private", "secret", "signing", "encryption"];
/// How tokens of well-known places begin.
const TOKENS: &[&str] =
    &["ghp_", "gho_", "ghs_", "ghr_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "dckr_pat_"];

/// Knows what is to be hidden.
#[derive(Debug, Clone, Default)]
pub struct Veil {
    words: BTreeSet<String>,
}

impl Veil {
    /// Of a build: the secrets that it is lent, its arguments and the environment's variables that look secret.
    pub fn of(declaration: &Declaration, options: &BuildOptions, lent: &[&str], host: &Host) -> Self {
        let mut veil = Self::default();
        let arg = |set: &String| {
            let (field, value) = set.split_once('=')?;
            Some((field.splitn(3, '.').nth(2)?.to_owned(), value.to_owned()))
        };
        let declared = declaration.targets.values().flat_map(|target| target.args.clone());
        let declared = declared.filter_map(|(name, value)| Some((name, value?)));
        let sets = options.sets.iter().filter_map(arg);
        for (_, value) in declared.chain(sets).chain(host.env.clone()).filter(|(name, _)| is_secret(name)) {
            veil.add_content(&value);
        }
        lent.iter().for_each(|content| veil.add_goenv(content));
        let secrets = declaration.targets.values().flat_map(|target| target.secret.iter().map(to_csv));
        for spec in secrets.chain(options.secrets.iter().cloned()) {
            veil.add_secret(&spec, declaration, host);
        }
        veil
    }

    /// The secret of one `id=...,src=...` or `id=...,env=...`.
    fn add_secret(&mut self, spec: &str, declaration: &Declaration, host: &Host) {
        for (name, value) in spec.split(',').filter_map(|field| field.split_once('=')) {
            let content = match name {
                // Without a source, an id is a variable's name.
                "env" | "id" => host.var(value).map(str::to_owned),
                "src" | "source" => content(&host.absolute(declaration.dir.join(value))),
                _ => None,
            };
            content.iter().for_each(|content| self.add_content(content));
        }
    }

    /// How Go modules are fetched: proxies and private hosts are told when something fails, their passwords are not.
    fn add_goenv(&mut self, content: &str) {
        let auth = content.lines().filter_map(|line| line.strip_prefix("GOAUTH="));
        auth.flat_map(str::split_whitespace).for_each(|word| self.add(word));
        self.add_users(content);
    }

    /// A secret's content: as a whole, each line that is one word, and passwords as `.netrc` has them.
    fn add_content(&mut self, content: &str) {
        if content.trim().lines().count() == 1 {
            self.add(content);
        }
        for line in content.lines().map(str::trim).filter(|line| !line.contains(char::is_whitespace)) {
            self.add(line.split_once('=').map_or(line, |(_, value)| value));
        }
        let words: Vec<&str> = content.split_whitespace().collect();
        words.windows(2).filter(|pair| pair[0] == "password").for_each(|pair| self.add(pair[1]));
        self.add_users(content);
    }

    fn add_users(&mut self, content: &str) {
        let words = content.split([' ', '\t', '\n', ',', '|']);
        for (user, _) in words.filter_map(user_of) {
            self.add(user.split_once(':').map_or(user, |(_, password)| password));
        }
    }

    fn add(&mut self, value: &str) {
        let value = value.trim().trim_matches(['"', '\'']);
        let is_url = value.contains("://");
        if value.len() >= SHORTEST && !is_url {
            self.words.insert(value.to_owned());
        }
    }

    /// A text without what must not be seen.
    pub fn over(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // The longest first: one may be the beginning of another.
        let mut words: Vec<&String> = self.words.iter().filter(|word| text.contains(word.as_str())).collect();
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        for word in words {
            text = text.replace(word.as_str(), HIDDEN);
        }
        tokens(&assignments(&users(&text)))
    }

    /// A document without it.
    pub fn over_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = whole_argument(text).unwrap_or_else(|| self.over(text)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.over_json(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.over_json(field)),
            _ => {}
        }
    }
}

/// What a file holds that is small enough for a password and no list of certificates.
fn content(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    let text = (meta.is_file() && meta.len() <= LARGEST).then(|| std::fs::read_to_string(path).ok())??;
    let is_public = text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY");
    (!is_public).then_some(text)
}

/// `TARGET.args.NAME=VALUE` is one argument to its end, whatever its value has in it.
fn whole_argument(text: &str) -> Option<String> {
    let (field, _) = text.split_once('=')?;
    let (_, name) = field.split_once(".args.")?;
    is_secret(name).then(|| format!("{field}={HIDDEN}"))
}

/// Whether the value of what is named like this is a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let parts: Vec<&str> = name.split(['_', '-', '.']).collect();
    let is_key = |pair: &[&str]| KEYS.contains(&pair[0]) && pair[1] == "key";
    parts.iter().any(|part| SECRET.contains(part)) || parts.windows(2).any(is_key)
}

/// User and password of the URL that a word has in it, and where they stand.
fn user_of(word: &str) -> Option<(&str, std::ops::Range<usize>)> {
    let begin = word.find("://")? + 3;
    let rest = &word[begin..];
    let end = rest.find(['/', '?', '#', '"', '\'', '<', '>']).unwrap_or(rest.len());
    let at = rest[..end].rfind('@')?;
    Some((&rest[..at], begin..begin + at))
}

/// `https://user:word@host` without user and word.
fn users(text: &str) -> String {
    let hide = |word: &str| match user_of(word) {
        Some((user, at)) if !user.is_empty() => format!("{}{HIDDEN}{}", &word[..at.start], &word[at.end..]),
        _ => word.to_owned(),
    };
    // Several URLs may stand in one word, as GOPROXY has them.
    let parts = text.split_inclusive([' ', ',', '\t', '\n', '|', ';']);
    parts.map(hide).collect()
}

/// `PASSWORD=word` without the word, in a command, a URL's query or an instruction.
fn assignments(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('=') {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = &rest[rest[..at]
            .rfind(|c| !is_name(c))
            .map_or(0, |i| i + rest[i..].chars().next().map_or(1, char::len_utf8))
            ..at];
        let hides = is_secret(name);
        out.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if hides && !rest.starts_with('$') {
            let length = value_length(rest);
            out.push_str(if length > 0 { HIDDEN } else { "" });
            rest = &rest[length..];
        }
    }
    out + rest
}

/// How long the value is that a text begins with, its quotes included.
fn value_length(text: &str) -> usize {
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'');
    match quote {
        Some(quote) => text[1..].find(quote).map_or(text.len(), |end| end + 2),
        None => text.find(|c: char| c.is_whitespace() || "\"'&;)".contains(c)).unwrap_or(text.len()),
    }
}

/// Tokens that tell by how they begin, and what follows `Bearer`.
fn tokens(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.~+/=".contains(c);
    let mut text = text.to_owned();
    for mark in TOKENS.iter().chain(&["Bearer ", "bearer "]) {
        let mut from = 0;
        while let Some(at) = text[from..].find(mark).map(|at| from + at) {
            let begin = at + mark.len();
            let end = text[begin..].find(|c| !is_word(c)).map_or(text.len(), |length| begin + length);
            if end - begin >= 8 {
                text.replace_range(begin..end, HIDDEN);
            }
            from = begin;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_secret_is_hidden_and_nothing_else() {
        let veil = Veil::default();
        let table = [
            ("GET https://user:word@proxy.example/x", "GET https://***@proxy.example/x"),
            ("https://a:b@one,https://c@two|direct", "https://***@one,https://***@two|direct"),
            ("https://example/a@b", "https://example/a@b"),
            ("x?access_token=abc&y=1", "x?access_token=***&y=1"),
            (
                "RUN DB_PASSWORD='a b' make API_KEY=k CACHE_KEY=k",
                "RUN DB_PASSWORD=*** make API_KEY=*** CACHE_KEY=k",
            ),
            ("RUN login --password=$PASSWORD", "RUN login --password=$PASSWORD"),
            ("RUN --mount=type=secret,id=token cat", "RUN --mount=type=secret,id=token cat"),
            ("Authorization: Bearer abcdefghij.k", "Authorization: Bearer ***"),
            ("clone with ghp_0123456789abcdef!", "clone with ghp_***!"),
            ("the bearer of news; TOKEN= é=ü", "the bearer of news; TOKEN= é=ü"),
        ];
        for (text, expected) in table {
            assert_eq!(veil.over(text), expected);
        }
    }

    #[test]
    fn known_values_are_hidden_wherever_they_stand() {
        let mut veil = Veil::default();
        veil.add_content("machine x login me\npassword hunter22\nURL=https://u:pass-word@proxy\n");
        veil.add_content("short");
        assert_eq!(veil.over("echo hunter22, pass-word short"), "echo ***, *** short");
        let mut plan =
            serde_json::json!({"argv": ["--set", "app.args.API_TOKEN=a b&c", "app.args.X=hunter22"]});
        veil.over_json(&mut plan);
        assert_eq!(plan["argv"], serde_json::json!(["--set", "app.args.API_TOKEN=***", "app.args.X=***"]));
    }

    #[test]
    fn secrets_of_files_variables_and_arguments_are_known() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("s.txt"), "file-secret\n").expect("written");
        let mut host = Host::read();
        host.env = [("FROM_ENV", "env-secret"), ("CI_JOB_TOKEN", "job-secret"), ("HOME", "/home/somebody")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let options = BuildOptions {
            secrets: vec!["id=s,src=s.txt".into(), "id=e,env=FROM_ENV".into()],
            sets: vec!["*.args.DEPLOY_TOKEN=arg-secret".into(), "*.args.COLOUR=yellow".into()],
            ..BuildOptions::default()
        };
        let declaration = Declaration { dir: dir.path().to_path_buf(), ..Declaration::default() };
        let lent =
            "GOAUTH=git lent-secret\nGOPROXY=https://u:go-secret@proxy,direct\nGOPRIVATE=git.example\n";
        let veil = Veil::of(&declaration, &options, &[lent], &host);
        let shown = veil
            .over("file-secret env-secret job-secret arg-secret lent-secret go-secret yellow git.example");
        assert_eq!(shown, "*** *** *** *** *** *** yellow git.example");
    }
}
