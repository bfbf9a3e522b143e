//! Paths in options for bake. Bake runs in the declaration's directory, but a path that a user
//! types is relative to the current one.

use std::path::Path;

use super::remote::is_remote;
use crate::text::csv;

/// The keys of bake's `--set` whose values are specifications with paths in these fields.
const PATH_FIELDS: [(&str, &str); 2] = [("cache-from", "src"), ("cache-to", "dest")];

/// Makes the path of an `--output` absolute. Like buildx, takes a bare path for `type=local`, and
/// `-` for a tar archive on stdout.
pub(crate) fn output(spec: &str, cwd: &Path) -> String {
    match spec {
        "-" => "type=tar,dest=-".to_owned(),
        _ if is_bare_path(spec) => format!("type=local,{}", field("dest", &absolute(spec, cwd))),
        _ => with_paths(spec, &["dest"], cwd),
    }
}

/// Returns whether an output is a path alone: one plain field without a type.
pub(crate) fn is_bare_path(spec: &str) -> bool {
    let is_field = matches!(csv::fields(spec).as_slice(), [only] if only == spec);
    is_field && spec != "-" && !spec.starts_with("type=")
}

/// Makes the path of a `--secret` absolute. With `type=env` its source is a variable.
pub(crate) fn secret(spec: &str, cwd: &Path) -> String {
    let is_variable = csv::pairs(spec).iter().any(|(name, value)| name == "type" && value == "env");
    if is_variable { spec.to_owned() } else { with_paths(spec, &["src", "source"], cwd) }
}

/// Makes the paths of keys for SSH absolute: `ID=PATH,PATH`.
fn ssh(spec: &str, cwd: &Path) -> String {
    let Some((id, paths)) = spec.split_once('=') else { return spec.to_owned() };
    let paths: Vec<String> = paths.split(',').map(|path| absolute(path, cwd)).collect();
    format!("{id}={}", paths.join(","))
}

/// Makes the paths of a `--set` absolute: of outputs, secrets, keys, caches and contexts.
pub(crate) fn set(set: &str, cwd: &Path) -> String {
    let Some((target, value)) = set.split_once('=') else { return set.to_owned() };
    let key = target.split('.').nth(1).unwrap_or_default().trim_end_matches('+');
    let value = match key {
        "context" | "contexts" => context(value, cwd),
        "dockerfile" if value.starts_with("cwd://") => context(value, cwd),
        "output" => output(value, cwd),
        "secrets" => secret(value, cwd),
        "ssh" => ssh(value, cwd),
        _ => match PATH_FIELDS.iter().find(|(name, _)| *name == key) {
            Some((_, field)) => with_paths(value, &[field], cwd),
            None => value.to_owned(),
        },
    };
    format!("{target}={value}")
}

/// Returns whether an output goes to stdout: a tar archive without a file, or with `-`.
pub(crate) fn is_stdout(spec: &str) -> bool {
    let pairs = csv::pairs(spec);
    let value = |name: &str| pairs.iter().rev().find(|(known, _)| known == name).map(|(_, at)| at.as_str());
    match value("dest") {
        Some(dest) => dest == "-",
        None => value("type").is_some_and(|kind| ["tar", "oci"].contains(&kind)),
    }
}

/// Makes a context absolute, unless it is a URL, a Git address or one of bake's own forms.
fn context(value: &str, cwd: &Path) -> String {
    if let Some(path) = value.strip_prefix("cwd://") {
        return absolute(path, cwd);
    }
    let is_bakes_own = ["target:", "service:"].iter().any(|form| value.starts_with(form));
    if value.is_empty() || value == "-" || value.contains("://") || is_remote(value) || is_bakes_own {
        return value.to_owned();
    }
    absolute(value, cwd)
}

fn with_paths(spec: &str, names: &[&str], cwd: &Path) -> String {
    let with_path = |text: String| match text.split_once('=') {
        Some((name, path)) if is_named(name, names) && !path.is_empty() && path != "-" => {
            field(name, &absolute(path, cwd))
        }
        _ => csv::quoted(&text),
    };
    csv::fields(spec).into_iter().map(with_path).collect::<Vec<_>>().join(",")
}

fn is_named(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name.trim()))
}

fn absolute(path: &str, cwd: &Path) -> String {
    cwd.join(path).display().to_string()
}

fn field(name: &str, value: &str) -> String {
    csv::quoted(&format!("{name}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_paths_start_in_the_current_directory() {
        let cwd = Path::new("/here");
        for (spec, expected) in [
            ("out", "type=local,dest=/here/out"),
            ("-", "type=tar,dest=-"),
            ("type=local,dest=out", "type=local,dest=/here/out"),
            ("type=tar,dest=/abs/x.tar", "type=tar,dest=/abs/x.tar"),
            ("type=tar,dest=-", "type=tar,dest=-"),
            ("type=image,push=true", "type=image,push=true"),
            ("type=local,\"dest=a,b\"", "type=local,\"dest=/here/a,b\""),
            ("a=b", "type=local,dest=/here/a=b"),
            ("type=local, Dest=out", "type=local, Dest=/here/out"),
            ("type=local,\"dest=say \"\"x\"\"\"", "type=local,\"dest=/here/say \"\"x\"\"\""),
        ] {
            assert_eq!(output(spec, cwd), expected, "{spec}");
        }
        assert_eq!(secret("id=s,src=s.txt", cwd), "id=s,src=/here/s.txt");
        assert_eq!(secret("id=s,env=S", cwd), "id=s,env=S");
        assert_eq!(secret("type=env,id=s,src=S", cwd), "type=env,id=s,src=S");
        for (given, expected) in [
            ("app.output=type=docker,dest=x.tar", "app.output=type=docker,dest=/here/x.tar"),
            ("*.secrets=id=s,source=s", "*.secrets=id=s,source=/here/s"),
            ("app.cache-from+=type=local,src=c", "app.cache-from+=type=local,src=/here/c"),
            ("app.contexts.src=../src", "app.contexts.src=/here/../src"),
            ("app.contexts.src=docker-image://a:b", "app.contexts.src=docker-image://a:b"),
            ("app.contexts.src=target:base", "app.contexts.src=target:base"),
            ("app.context=git@example.com:x/y", "app.context=git@example.com:x/y"),
            ("app.ssh=k=id,/abs/id", "app.ssh=k=/here/id,/abs/id"),
            ("app.ssh=default", "app.ssh=default"),
            ("app.context=cwd://sub", "app.context=/here/sub"),
            ("app.dockerfile=cwd://D", "app.dockerfile=/here/D"),
            ("app.dockerfile=D", "app.dockerfile=D"),
            ("app.args.X=src=1,dest=2", "app.args.X=src=1,dest=2"),
            ("app.tags=x", "app.tags=x"),
        ] {
            assert_eq!(set(given, cwd), expected, "{given}");
        }
    }

    #[test]
    fn an_archive_without_a_file_goes_to_stdout() {
        for (spec, expected) in [
            ("type=tar", true),
            ("type=tar,dest=-", true),
            ("type=oci", true),
            ("type=docker,dest=-", true),
            ("Type=tar", true),
            ("type=tar,dest=x,dest=-", true),
            ("type=docker", false),
            ("type=tar,dest=x", false),
            ("type=local,dest=x", false),
        ] {
            assert_eq!(is_stdout(spec), expected, "{spec}");
        }
    }
}
