//! The source of a secret, as buildx reads it: a file or a variable.

use crate::text::csv;

/// The source that a setting such as `id=k,src=FILE` names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SecretSource {
    id: Option<String>,
    file: Option<String>,
    variable: Option<String>,
}

impl SecretSource {
    pub(crate) fn parse(setting: &str) -> Self {
        let (mut source, mut is_variable) = (Self::default(), false);
        for (name, value) in csv::pairs(setting) {
            match name.as_str() {
                "id" => source.id = Some(value),
                "src" | "source" => source.file = Some(value),
                "env" => source.variable = Some(value),
                "type" => is_variable = value == "env",
                _ => {}
            }
        }
        if is_variable && source.variable.as_ref().is_none_or(String::is_empty) {
            source.variable = source.file.take();
        }
        source
    }

    /// Returns the file. Without a source, an id is the name of a variable, or else of a file.
    pub(crate) fn file(&self) -> Option<&str> {
        self.named(&self.file)
    }

    /// Returns the variable.
    pub(crate) fn variable(&self) -> Option<&str> {
        self.named(&self.variable)
    }

    fn named<'a>(&'a self, source: &'a Option<String>) -> Option<&'a str> {
        let is_empty = |source: &Option<String>| source.as_ref().is_none_or(String::is_empty);
        let has_source = !is_empty(&self.file) || !is_empty(&self.variable);
        let source = if has_source { source } else { &self.id };
        source.as_deref().filter(|source| !source.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_file_or_a_variable() {
        for (setting, file, variable) in [
            ("id=k,src=a", Some("a"), None),
            ("ID=k,Source=a", Some("a"), None),
            ("id=k,\"src=a,b\"", Some("a,b"), None),
            ("id=k,src=a,src=b", Some("b"), None),
            ("id=k,env=A", None, Some("A")),
            ("type=env,id=k,src=A", None, Some("A")),
            ("src=A,type=env,id=k", None, Some("A")),
            ("type=file,id=k,src=a", Some("a"), None),
            ("id=k", Some("k"), Some("k")),
            ("type=env,id=k", Some("k"), Some("k")),
            ("type=file", None, None),
        ] {
            let source = SecretSource::parse(setting);
            assert_eq!((source.file(), source.variable()), (file, variable), "{setting}");
        }
    }
}
