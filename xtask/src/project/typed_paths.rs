//! Paths in options for bake. Bake runs in the declaration's directory, but a path that a user
//! types is relative to the current one.

use std::path::Path;

/// The keys of bake's `--set` whose values are specifications with paths in these fields.
const PATH_FIELDS: [(&str, &[&str]); 5] = [
    ("output", &["dest"]),
    ("secrets", &["src", "source"]),
    ("cache-from", &["src"]),
    ("cache-to", &["dest"]),
    ("ssh", &[]),
];

/// Makes the path of an `--output` absolute. Like buildx, takes a bare path for `type=local`, and
/// `-` for a tar archive on stdout.
pub(crate) fn output(spec: &str, cwd: &Path) -> String {
    match spec {
        "-" => "type=tar,dest=-".to_owned(),
        _ if !spec.contains('=') => format!("type=local,{}", field("dest", &absolute(spec, cwd))),
        _ => with_paths(spec, &["dest"], cwd),
    }
}

/// Makes the path of a `--secret` absolute.
pub(crate) fn secret(spec: &str, cwd: &Path) -> String {
    with_paths(spec, &["src", "source"], cwd)
}

/// Makes the paths of a `--set` absolute: of outputs, secrets, caches and contexts.
pub(crate) fn set(set: &str, cwd: &Path) -> String {
    let Some((target, value)) = set.split_once('=') else { return set.to_owned() };
    let key = target.split('.').nth(1).unwrap_or_default().trim_end_matches('+');
    if ["context", "contexts"].contains(&key) {
        return format!("{target}={}", context(value, cwd));
    }
    match PATH_FIELDS.iter().find(|(name, _)| *name == key) {
        Some(("output", _)) => format!("{target}={}", output(value, cwd)),
        Some((_, fields)) => format!("{target}={}", with_paths(value, fields, cwd)),
        None => set.to_owned(),
    }
}

/// Returns whether an output goes to stdout: a tar archive without a file, or with `-`.
pub(crate) fn is_stdout(spec: &str) -> bool {
    let fields = fields(spec);
    let value = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    match value("dest") {
        Some(dest) => dest == "-",
        None => value("type").is_some_and(|kind| ["tar", "oci"].contains(&kind)),
    }
}

/// Makes a context absolute, unless it is a URL, a Git address or one of bake's own forms.
fn context(value: &str, cwd: &Path) -> String {
    let is_elsewhere = value.contains("://") || value.starts_with("git@") || value.starts_with("github.com/");
    let is_bakes_own = ["target:", "service:"].iter().any(|form| value.starts_with(form));
    if value.is_empty() || value == "-" || is_elsewhere || is_bakes_own {
        return value.to_owned();
    }
    absolute(value, cwd)
}

fn with_paths(spec: &str, names: &[&str], cwd: &Path) -> String {
    let with_path = |text: String| match text.split_once('=') {
        Some((name, path)) if names.contains(&name.trim()) && !path.is_empty() && path != "-" => {
            field(name, &absolute(path, cwd))
        }
        _ => quoted(text),
    };
    fields(spec).into_iter().map(with_path).collect::<Vec<_>>().join(",")
}

fn absolute(path: &str, cwd: &Path) -> String {
    cwd.join(path).display().to_string()
}

fn field(name: &str, value: &str) -> String {
    quoted(format!("{name}={value}"))
}

/// Quotes a CSV field if needed.
fn quoted(field: String) -> String {
    if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

/// Splits a line of CSV into fields. A field that begins with a quote ends with one, and `""` in it
/// stands for one quote.
fn fields(spec: &str) -> Vec<String> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut chars = spec.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' if is_quoted || field.is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(c),
        }
    }
    fields.push(field);
    fields
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
            ("type=local,\"dest=say \"\"x\"\"\"", "type=local,\"dest=/here/say \"\"x\"\"\""),
        ] {
            assert_eq!(output(spec, cwd), expected, "{spec}");
        }
        assert_eq!(secret("id=s,src=s.txt", cwd), "id=s,src=/here/s.txt");
        assert_eq!(secret("id=s,env=S", cwd), "id=s,env=S");
        for (given, expected) in [
            ("app.output=type=docker,dest=x.tar", "app.output=type=docker,dest=/here/x.tar"),
            ("*.secrets=id=s,source=s", "*.secrets=id=s,source=/here/s"),
            ("app.cache-from+=type=local,src=c", "app.cache-from+=type=local,src=/here/c"),
            ("app.contexts.src=../src", "app.contexts.src=/here/../src"),
            ("app.contexts.src=docker-image://a:b", "app.contexts.src=docker-image://a:b"),
            ("app.contexts.src=target:base", "app.contexts.src=target:base"),
            ("app.context=git@example.com:x/y", "app.context=git@example.com:x/y"),
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
            ("type=docker", false),
            ("type=tar,dest=x", false),
            ("type=local,dest=x", false),
        ] {
            assert_eq!(is_stdout(spec), expected, "{spec}");
        }
    }
}
