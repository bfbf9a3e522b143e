//! What no record may hold: values of secrets, passwords in URLs, arguments that look secret. Known values are hidden wherever they stand,
//! and what looks like a secret
//! ([`crate::project::looks`]) is hidden where nobody knew it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::host::Host;
use crate::plan::call::to_csv;
use crate::plan::options::BuildOptions;
use crate::project::Declaration;
use crate::project::looks::{self, HIDDEN, is_secret, user_of, whole_argument};

/// A shorter value than this is no secret worth the name, and hiding it would tear holes into words.
const SHORTEST: usize = 6;
/// A larger file than this is no password.
const LARGEST: u64 = 64 * 1024;
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
        looks::hide(&text)
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

#[cfg(test)]
mod tests {
    use super::*;

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
