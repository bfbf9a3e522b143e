//! The secrets of a build, known before anything is printed: its secrets, its arguments, the
//! environment.

use std::path::Path;

use anyhow::Result;

use crate::error::usage;
use crate::host::Host;
use crate::plan::options::BuildOptions;
use crate::project::Declaration;
use crate::project::secret_source::SecretSource;
use crate::project::secrets::Secrets;
use crate::redact::{Redactor, is_secret};
use crate::text::csv;

/// The maximum size of a secret in BuildKit.
const LARGEST: u64 = 512 * 1024;

/// Learns the secrets in the options, before the declaration is read.
pub(super) fn learn_options(redactor: &Redactor, options: &BuildOptions) {
    for (field, value) in options.sets.iter().filter_map(|set| set.split_once('=')) {
        let name = field.trim_end_matches('+').splitn(3, '.').nth(2);
        learn_argument(redactor, name.unwrap_or_default(), value);
    }
}

/// Learns the secrets in the declaration, the options and the host's settings.
pub(super) fn learn(
    redactor: &Redactor,
    declaration: &Declaration,
    options: &BuildOptions,
    given: &Secrets,
    host: &Host,
) -> Result<()> {
    for target in declaration.targets.values() {
        for (name, value) in &target.args {
            learn_argument(redactor, name, value.as_deref().unwrap_or_default());
        }
        let contexts = target.contexts.values().chain(&target.context);
        contexts.for_each(|source| redactor.learn_users(source));
    }
    let declared = declaration.targets.values().flat_map(|target| target.secret.iter().map(csv::line));
    for spec in declared.chain(options.secrets.iter().cloned()) {
        learn_secret(redactor, &spec, &declaration.dir, host)?;
    }
    if let Some(settings) = &given.goenv {
        learn_go(redactor, settings);
    }
    Ok(())
}

fn learn_argument(redactor: &Redactor, name: &str, value: &str) {
    if is_secret(name) {
        redactor.learn_content(value);
    } else {
        redactor.learn_users(value);
    }
}

/// Learns the secret of one setting.
fn learn_secret(redactor: &Redactor, spec: &str, dir: &Path, host: &Host) -> Result<()> {
    let source = SecretSource::parse(spec);
    let variable = source.variable().and_then(|name| host.var(name));
    variable.iter().for_each(|value| redactor.learn_content(value));
    // A variable takes precedence over a file of its name.
    if let Some(file) = source.file().filter(|file| source.variable() != Some(file) || variable.is_none()) {
        content(&dir.join(file))?.iter().for_each(|content| redactor.learn_content(content));
    }
    Ok(())
}

/// Learns the passwords in Go's settings. Names of proxies and private hosts may be shown.
fn learn_go(redactor: &Redactor, settings: &str) {
    let auth = settings.lines().filter_map(|line| line.strip_prefix("GOAUTH="));
    auth.flat_map(str::split_whitespace).for_each(|word| redactor.learn(word));
    redactor.learn_users(settings);
}

/// Returns the content of a file that is small enough for a secret and is not a list of
/// certificates. Refuses a pipe or a device: its content can be read only once, so that BuildKit
/// would get none, or its output would show it.
fn content(path: &Path) -> Result<Option<String>> {
    let Ok(meta) = std::fs::metadata(path) else { return Ok(None) };
    if !(meta.is_file() || meta.is_dir() || is_empty_device(path)) {
        let path = path.display();
        return Err(usage(format!(
            "the secret file `{path}` is not a regular file\nuse a regular file, or `env=VARIABLE`"
        )));
    }
    let is_read = meta.is_file() && (1..=LARGEST).contains(&meta.len());
    let Some(bytes) = is_read.then(|| std::fs::read(path).ok()).flatten() else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let is_public = text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY");
    Ok((!is_public).then_some(text))
}

/// Returns whether a path is `/dev/null`, which stands for an empty secret.
fn is_empty_device(path: &Path) -> bool {
    std::fs::canonicalize(path).is_ok_and(|path| path == Path::new("/dev/null"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Target;

    #[test]
    fn secrets_of_files_variables_and_arguments_are_known() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("s.txt"), "file-secret\n").expect("written");
        let mut host = Host::read();
        host.env =
            [("FROM_ENV", "env-secret"), ("CI_JOB_TOKEN", "job-secret"), ("KUBECONFIG", "/etc/hostname")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        let options = BuildOptions {
            secrets: vec!["id=s,src=s.txt".into(), "id=e,env=FROM_ENV".into()],
            sets: vec!["*.args.DEPLOY_TOKEN=arg-secret".into(), "*.args.COLOR=yellow".into()],
            ..BuildOptions::default()
        };
        let target = Target {
            args: [("dbPassword".to_owned(), Some("declared-secret".to_owned()))].into(),
            context: Some("https://me:context-secret@git.example/x.git".into()),
            ..Target::default()
        };
        let declaration = Declaration {
            dir: dir.path().to_path_buf(),
            targets: [("app".to_owned(), target)].into(),
            ..Declaration::default()
        };
        let goenv =
            "GOAUTH=git go-auth-secret\nGOPROXY=https://u:go-secret@proxy,direct\nGOPRIVATE=git.example\n";
        let given = Secrets { goenv: Some(goenv.into()), ..Secrets::default() };
        let redactor = Redactor::default();
        redactor.learn_variables(&host.env);
        learn_options(&redactor, &options);
        learn(&redactor, &declaration, &options, &given, &host).expect("regular files");
        let text = "file-secret env-secret job-secret arg-secret go-auth-secret go-secret declared-secret \
            context-secret";
        assert_eq!(redactor.text(text), ["***"; 8].join(" "));
        assert_eq!(redactor.text("yellow git.example /etc/hostname"), "yellow git.example /etc/hostname");
    }

    #[test]
    fn a_secret_that_can_be_read_only_once_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("made");
        let socket = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        for odd in [&pipe, &socket, Path::new("/dev/zero"), Path::new("/dev/full")] {
            let error = content(odd).expect_err("refused").to_string();
            assert!(error.contains("is not a regular file\nuse "), "{error}");
        }
        // BuildKit names the fault of these.
        for other in [dir.path(), Path::new("/dev/null"), &dir.path().join("missing")] {
            assert_eq!(content(other).expect("allowed"), None);
        }
    }
}
