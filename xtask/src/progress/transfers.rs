//! Transferred bytes: layers that are pulled or pushed, the sent context, an exported image.
//! Limited: only this many transfers of one step are counted individually.

use super::decode::Status;

/// More than the layers of any image.
const MAX_TRANSFERS: usize = 1000;

#[derive(Debug, Clone, Default)]
struct Transfer {
    id: String,
    current: u64,
    total: u64,
    is_over: bool,
}

/// The transfers of one step.
#[derive(Debug, Clone, Default)]
pub struct Transfers(Vec<Transfer>);

/// The progress of transfers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bytes {
    pub current: u64,
    /// The total, if all of it is known.
    pub total: Option<u64>,
}

impl Transfers {
    /// Adds a status of the stream.
    pub fn apply(&mut self, status: &Status) {
        let at = self.0.iter().position(|transfer| transfer.id == status.id);
        let at = at.unwrap_or_else(|| {
            if self.0.len() < MAX_TRANSFERS {
                self.0.push(Transfer { id: status.id.clone(), ..Transfer::default() });
            }
            self.0.len() - 1
        });
        let transfer = &mut self.0[at];
        // A received layer is unpacked under the same name, with a new count.
        transfer.current = transfer.current.max(status.current.max(0).unsigned_abs());
        transfer.total = transfer.total.max(status.total.max(0).unsigned_abs());
        transfer.is_over = status.completed.is_some();
    }

    /// Returns the total progress, or `None` if no transfer counts bytes.
    pub fn bytes(&self) -> Option<Bytes> {
        let of_bytes = || self.0.iter().filter(|transfer| transfer.current > 0 || transfer.total > 0);
        of_bytes().next()?;
        let known = of_bytes().all(|transfer| transfer.total > 0 || transfer.is_over);
        let sum = |bytes: &dyn Fn(&Transfer) -> u64| {
            of_bytes().fold(0, |sum: u64, transfer| sum.saturating_add(bytes(transfer)))
        };
        let total = sum(&|transfer| transfer.total.max(transfer.current));
        Some(Bytes { current: sum(&|transfer| transfer.current), total: known.then_some(total) })
    }

    /// Returns BuildKit's name of the current work: `exporting layers`.
    pub fn doing(&self) -> Option<&str> {
        self.0.iter().rev().find(|transfer| !transfer.is_over).map(|transfer| transfer.id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfers(lines: &[&str]) -> Transfers {
        let mut transfers = Transfers::default();
        for line in lines {
            transfers.apply(&serde_json::from_str(line).expect("well formed"));
        }
        transfers
    }

    #[test]
    fn a_context_has_no_total_until_it_is_there() {
        let begun =
            r#"{"id":"transferring context:","vertex":"d","current":1200,"started":"2026-11-22T12:00:00Z"}"#;
        let context = transfers(&[begun]);
        assert_eq!(context.bytes(), Some(Bytes { current: 1200, total: None }));
        assert_eq!(context.doing(), Some("transferring context:"));
        let over = r#"{"id":"transferring context:","vertex":"d","current":5000,"completed":"2026-11-22T12:00:01Z"}"#;
        let context = transfers(&[begun, over]);
        assert_eq!(context.bytes(), Some(Bytes { current: 5000, total: Some(5000) }));
        assert_eq!(context.doing(), None);
    }

    #[test]
    fn layers_add_up_and_what_is_counted_without_bytes_is_not() {
        let pull = transfers(&[
            r#"{"id":"sha256:a","name":"downloading","current":10,"total":40}"#,
            r#"{"id":"sha256:b","name":"downloading","current":60,"total":60,"completed":"2026-11-22T12:00:01Z"}"#,
            r#"{"id":"extracting sha256:b","current":0}"#,
            r#"{"id":"sha256:b","name":"done","current":0,"total":0,"completed":"2026-11-22T12:00:01Z"}"#,
        ]);
        assert_eq!(pull.bytes(), Some(Bytes { current: 70, total: Some(100) }));
        assert_eq!(pull.doing(), Some("extracting sha256:b"));
        let export = transfers(&[r#"{"id":"exporting layers","current":0}"#]);
        assert_eq!((export.bytes(), export.doing()), (None, Some("exporting layers")));
        assert_eq!(transfers(&[r#"{"id":"x","current":-1}"#]).bytes(), None);
    }
}
