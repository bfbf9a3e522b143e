//! The settings of a target that are in BuildKit's key of each of its RUNs, each in one spelling:
//! values that BuildKit takes as equal are equal here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Target;
use crate::text::size;

/// The setting with the names of extra hosts.
pub(crate) const HOSTS: &str = "extra hosts";

/// Returns the settings by name.
pub(crate) fn run_settings(target: &Target) -> BTreeMap<String, String> {
    let network = target.network.clone().filter(|network| network != "default");
    let size = target.shm_size.as_deref().and_then(size::parse_memory).map(size::binary);
    let all = [
        ("network", network),
        ("ulimits", target.ulimits.as_ref().and_then(limits)),
        (HOSTS, target.extra_hosts.as_ref().and_then(host_names)),
        ("shm-size", size),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Returns whether there are several hosts. Before 0.34, buildx passes them in random order, which
/// is in the key.
pub(crate) fn has_several_hosts(target: &Target) -> bool {
    let hosts = target.extra_hosts.as_ref().and_then(Value::as_object);
    hosts.is_some_and(|hosts| hosts.values().filter(|address| !address.is_null()).count() > 1)
}

/// Writes limits as BuildKit gets them: sorted by name, the last one of a name, with both values.
fn limits(declared: &Value) -> Option<String> {
    let Some(list) = declared.as_array() else { return Some(declared.to_string()) };
    let limit = |limit: &str| {
        let (name, values) = limit.split_once('=').unwrap_or((limit, ""));
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        (name.to_owned(), format!("{name}={soft}:{hard}"))
    };
    let sorted: BTreeMap<String, String> = list.iter().filter_map(Value::as_str).map(limit).collect();
    (!sorted.is_empty()).then(|| sorted.into_values().collect::<Vec<_>>().join(", "))
}

/// Returns the names of hosts, once per address. The addresses are in no key.
fn host_names(declared: &Value) -> Option<String> {
    let Some(hosts) = declared.as_object() else { return Some(declared.to_string()) };
    let addresses = hosts.iter().filter_map(|(name, addresses)| Some((name, addresses.as_str()?)));
    let mut names: Vec<&str> =
        addresses.flat_map(|(name, addresses)| addresses.split(',').map(|_| name.as_str())).collect();
    names.sort_unstable();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> BTreeMap<String, String> {
        run_settings(&serde_json::from_str(json).expect("a target"))
    }

    #[test]
    fn equal_values_in_other_spellings_are_equal() {
        for group in [
            &["{}", r#"{"network": "default"}"#, r#"{"shm-size": "0"}"#, r#"{"ulimits": []}"#][..],
            &[r#"{"shm-size": "64m"}"#, r#"{"shm-size": "65536k"}"#, r#"{"shm-size": "67108864"}"#],
            &[
                r#"{"ulimits": ["nofile=10:10", "nproc=5"]}"#,
                r#"{"ulimits": ["nproc=5:5", "nofile=9", "nofile=10"]}"#,
            ],
            &[
                r#"{"extra-hosts": {"a": "10.0.0.1", "b": "10.0.0.2"}}"#,
                r#"{"extra-hosts": {"b": "10.0.0.9", "a": "::1", "c": null}}"#,
            ],
        ] {
            for json in group {
                assert_eq!(settings(json), settings(group[0]), "{json}");
            }
        }
        assert_eq!(settings(r#"{"shm-size": "64m"}"#)["shm-size"], "64MiB");
    }

    #[test]
    fn what_is_in_the_key_differs() {
        let all = [
            "{}",
            r#"{"network": "none"}"#,
            r#"{"network": "host"}"#,
            r#"{"shm-size": "1m"}"#,
            r#"{"shm-size": "1025k"}"#,
            r#"{"ulimits": ["nofile=10:20"]}"#,
            r#"{"ulimits": ["nofile=20"]}"#,
            r#"{"extra-hosts": {"a": "10.0.0.1"}}"#,
            r#"{"extra-hosts": {"a": "10.0.0.1,10.0.0.2"}}"#,
            r#"{"extra-hosts": {"a": "10.0.0.1", "b": "10.0.0.2"}}"#,
        ];
        let different: std::collections::BTreeSet<_> = all.iter().map(|json| settings(json)).collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn one_host_has_one_order() {
        let several = |json: &str| has_several_hosts(&serde_json::from_str(json).expect("a target"));
        assert!(several(r#"{"extra-hosts": {"a": "10.0.0.1", "b": "10.0.0.2"}}"#));
        assert!(!several(r#"{"extra-hosts": {"a": "10.0.0.1,10.0.0.2", "b": null}}"#) && !several("{}"));
    }
}
