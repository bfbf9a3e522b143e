//! How much the store may hold, and what stays in it: budget, age, and how many results an image keeps.

use serde::Serialize;

use crate::error::usage;
use crate::host::Host;
use crate::text::size;

/// Variable of the budget.
pub(crate) const VARIABLE: &str = "DURANGO_CACHE_BUDGET";
/// The budget where none is given, in bytes.
const BUDGET: u64 = 10_000_000_000;
/// Of how many Dockerfiles of an image and platform the results stay.
const KEEP: usize = 3;
/// How many results of one Dockerfile stay: branches with the same Dockerfile have one each.
pub(crate) const RESULTS: usize = 3;
/// How long what was found damaged is kept to be looked at, in days.
pub(crate) const QUARANTINE_DAYS: u32 = 7;

/// The policy.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Policy {
    /// What the store may take, in bytes.
    pub budget: u64,
    /// What was not used for so many days goes; nothing for its age alone where it is `None`.
    pub older_than: Option<u32>,
    /// Of how many Dockerfiles of an image and platform the results stay.
    pub keep: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self { budget: BUDGET, older_than: None, keep: KEEP }
    }
}

impl Policy {
    /// The policy of the environment. A budget that is none is a usage error.
    pub fn of(host: &Host) -> anyhow::Result<Self> {
        let budget = host.var(VARIABLE).map(|text| budget(VARIABLE, text)).transpose()?;
        Ok(Self { budget: budget.unwrap_or(BUDGET), ..Self::default() })
    }

    /// This policy with the options of a command in place of what they name.
    pub fn with(self, given: [Option<String>; 3]) -> anyhow::Result<Self> {
        let [size, days, keep] = given;
        let count = |option: &str, text: String| {
            text.parse()
                .map_err(|_| usage(format!("`{option} {text}` is no number\nfor example: {option} 3")))
        };
        Ok(Self {
            budget: size.map(|text| budget("--budget", &text)).transpose()?.unwrap_or(self.budget),
            older_than: days.map(|text| count("--older-than", text)).transpose()?.or(self.older_than),
            keep: match keep.map(|text| count("--keep", text)).transpose()? {
                Some(keep) => usize::try_from(keep)?,
                None => self.keep,
            },
        })
    }
}

fn budget(name: &str, text: &str) -> anyhow::Result<u64> {
    size::parse(text).ok_or_else(|| {
        usage(format!("`{name}` is `{text}`, which is no size\nfor example: 500M, 10GB, 1GiB"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_in_for_the_variable_and_wrong_ones_are_told() {
        let given = |size: &str, days: &str, keep: &str| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Policy::default().with([text(size), text(days), text(keep)])
        };
        assert_eq!(given("", "", "").expect("the default"), Policy::default());
        let other = Policy { budget: 1_000_000, older_than: Some(30), keep: 0 };
        assert_eq!(given("1M", "30", "0").expect("right"), other);
        for (size, days, keep) in [("much", "", ""), ("", "-1", ""), ("", "", "x"), ("", "1.5", "")] {
            let error = given(size, days, keep).expect_err("wrong");
            assert_eq!(crate::error::exit_code(&error), crate::error::USAGE, "{error}");
        }
    }
}
