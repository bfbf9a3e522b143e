//! The scripts that complete `cargo xtask` in a shell. Each asks the compiled program: cargo itself
//! would take longer than a shell may wait.

use std::path::Path;

use super::shell::quoted;

/// A shell, by the file that it reads when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
    /// Any POSIX shell that reads `.profile`. It completes nothing.
    Posix,
}

impl Shell {
    /// The shells that have a script.
    pub(crate) const COMPLETED: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// Returns the shell with a script of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::COMPLETED.into_iter().find(|shell| shell.name() == name)
    }

    /// The name of its program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Posix => "sh",
        }
    }
}

/// Returns the script of a shell; it asks `program`. `None` for a shell that completes nothing.
pub(crate) fn script(shell: Shell, program: &Path) -> Option<String> {
    let template = match shell {
        Shell::Bash => include_str!("completions.bash"),
        Shell::Zsh => include_str!("completions.zsh"),
        Shell::Fish => include_str!("completions.fish"),
        Shell::Posix => return None,
    };
    Some(template.replace("@PROGRAM@", &quoted(shell, &program.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_asks_the_program_by_its_quoted_path() {
        let path = Path::new("/it's here/$(x)\\xtask");
        for (shell, expected) in [
            (Shell::Bash, r"_durango_xtask_program='/it'\''s here/$(x)\xtask'"),
            (Shell::Zsh, r"_durango_xtask_program='/it'\''s here/$(x)\xtask'"),
            (Shell::Fish, r"__durango_xtask_program '/it\'s here/$(x)\\xtask'"),
        ] {
            let script = script(shell, path).expect("a script");
            assert!(script.contains(expected) && !script.contains("@PROGRAM@"), "{script}");
            assert_eq!(Shell::parse(shell.name()), Some(shell));
        }
        assert!(script(Shell::Posix, path).is_none() && Shell::parse("sh").is_none());
    }
}
