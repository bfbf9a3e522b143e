//! The kinds of values behind the table's placeholders, which shells complete.

use crate::commands::candidates::Kind;

/// The values that a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// Candidates that [`Kind`] finds.
    Of(Kind),
    /// Candidates that are separated by commas.
    ListOf(Kind),
    Files,
    Directories,
    /// Text that only the user knows.
    Free,
}

/// Returns the values of a placeholder such as `BUILD`, `[BUILD]` or `TARGET...`. Each placeholder
/// means one kind of value in the whole table.
pub(super) fn of(placeholder: &str) -> Option<Values> {
    let name = placeholder.trim_start_matches('[').trim_end_matches(']').trim_end_matches("...");
    let kind = match name {
        "FILE" | "PLACE" => return Some(Values::Files),
        "DIR" => return Some(Values::Directories),
        "LIST" => return Some(Values::ListOf(Kind::Mounts)),
        "K=V" | "T.KEY=V" | "N" | "S" | "GB" | "SIZE" | "DAYS" | "URL" | "REF" | "TAG" | "SPEC"
        | "OUTPUT" | "FILTER" => return Some(Values::Free),
        "TARGET" => Kind::Targets,
        "BUILD" => Kind::Builds,
        "BUILDER" => Kind::Builders,
        "IMAGE" => Kind::Images,
        "STEP" => Kind::Stages,
        "CHECK" => Kind::Checks,
        "CASE" => Kind::Cases,
        "FAULT" => Kind::Faults,
        "KIND" => Kind::StoreKinds,
        "LEG" => Kind::Legs,
        "SHELL" => Kind::Shells,
        "PLATFORM" => Kind::Platforms,
        "RIGHT" => Kind::Rights,
        "CACHE" => Kind::Caches,
        "FORMAT" => Kind::ReportFormats,
        "MODE" => Kind::ProgressModes,
        "WHEN" => Kind::ColorModes,
        _ => return None,
    };
    Some(Values::Of(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::GLOBAL;
    use crate::cli::table;

    #[test]
    fn every_placeholder_of_the_table_is_known() {
        let all = table::all();
        let options = all.iter().flat_map(|(_, command)| command.own_options()).chain(GLOBAL);
        let values = options.filter_map(|opt| Some((opt.name.to_owned(), opt.value?)));
        let args = all.iter().filter(|(_, command)| !command.args.is_empty());
        let args = args.map(|(path, command)| (path.clone(), command.args));
        for (of_what, placeholder) in values.chain(args) {
            assert!(of(placeholder).is_some(), "{of_what}: `{placeholder}` has no kind in `values::of`");
        }
        assert_eq!(of("[BUILD...]"), Some(Values::Of(Kind::Builds)));
        assert_eq!(of("NOTHING"), None);
    }
}
