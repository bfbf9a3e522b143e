//! The limits of the store: budget, age, and the number of results per image.

use serde::Serialize;

use crate::error::usage;
use crate::host::Host;
use crate::text::size;

/// The environment variable of the budget.
pub(crate) const VARIABLE: &str = "DURANGO_CACHE_BUDGET";
/// The default budget in bytes.
const BUDGET: u64 = 10_000_000_000;
/// The number of Dockerfiles per image and platform whose results are kept.
const KEEP: usize = 3;
/// The number of results per Dockerfile that are kept. Branches with the same Dockerfile have one
/// each.
pub(crate) const RESULTS: usize = 3;
/// The number of days for which damaged entries are kept for inspection.
pub(crate) const QUARANTINE_DAYS: u32 = 7;

/// The limits.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Policy {
    /// The maximum size of the store in bytes.
    pub budget: u64,
    /// Removes entries that were not used for this many days; `None` for no limit.
    pub older_than: Option<u32>,
    /// The number of Dockerfiles per image and platform whose results are kept.
    pub keep: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self { budget: BUDGET, older_than: None, keep: KEEP }
    }
}

impl Policy {
    /// Returns the policy of the environment. An invalid budget is a usage error.
    pub fn of(host: &Host) -> anyhow::Result<Self> {
        let budget = host.var(VARIABLE).map(|text| budget(VARIABLE, text)).transpose()?;
        Ok(Self { budget: budget.unwrap_or(BUDGET), ..Self::default() })
    }

    /// Returns this policy with the options of a command applied.
    pub fn with(self, given: [Option<String>; 3]) -> anyhow::Result<Self> {
        let [size, days, keep] = given;
        let count = |option: &str, text: String| {
            text.parse()
                .map_err(|_| usage(format!("`{option} {text}` is not a number\nfor example: {option} 3")))
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
        usage(format!("`{name}` is `{text}`, which is not a size\nfor example: 500M, 10GB, 1GiB"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_override_the_variable_and_wrong_ones_are_errors() {
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
