//! What a transfer of cache mounts leaves in the builder: on their way out the packs, in the layer of the RUN that made them and, of several
//! mounts, in the layer that gathered them; on their way in the folder that they came from. Nothing reads them again.

use std::time::Duration;

use xshell::{Shell, cmd};

use super::mounts::Moved;
use super::signals;
use crate::engine::{ask, usage};

/// Less than this waits for the builder's own garbage collector: asking and pruning take half a second.
const WORTH: u64 = 64 << 20;
const LIMIT: Duration = Duration::from_secs(20);

/// Removes what transfers left, by its very records. What fails is left to the builder.
pub fn collect(sh: &Shell, builder: &str, moved: &[&Moved]) {
    if moved.iter().map(|moved| moved.left_over).sum::<u64>() < WORTH {
        return;
    }
    let is_ours = |record: &usage::Record| {
        let text = &record.description;
        text.contains("/durango/transfer/")
            || text.contains("] COPY --from=durango-")
            || text.contains("durango-in-")
    };
    let records = usage::read(sh, builder).unwrap_or_default();
    // Layers go before what they stand upon: the exported one was made last.
    let mut ours: Vec<_> =
        records.into_iter().filter(|record| record.kind != "exec.cachemount" && is_ours(record)).collect();
    ours.sort_by_key(|record| std::cmp::Reverse(record.created));
    // Ctrl-C leaves the rest to the builder: under load each takes seconds.
    for record in ours.into_iter().take_while(|_| !signals::interrupted()) {
        let filter = format!("id={}", record.id);
        let _ =
            ask::ask(cmd!(sh, "docker buildx --builder {builder} prune --force --filter {filter}"), LIMIT);
    }
}
