//! Tokens that are known by their form.

/// The form of a token: how it begins, how much must follow, and of which characters.
struct Form {
    /// How it begins, which stays.
    prefix: &'static str,
    /// How many characters follow at least.
    least: usize,
    /// Characters of the token besides letters and digits.
    more: &'static str,
    /// Whether a digit or a capital must be among them: words follow the same letters.
    is_mixed: bool,
}

const fn form(prefix: &'static str, least: usize, more: &'static str) -> Form {
    Form { prefix, least, more, is_mixed: false }
}

const fn mixed(prefix: &'static str, least: usize, more: &'static str) -> Form {
    Form { prefix, least, more, is_mixed: true }
}

/// The forms of well-known places.
const FORMS: &[Form] = &[
    // GitHub, GitLab
    form("ghp_", 8, "_"),
    form("gho_", 8, "_"),
    form("ghu_", 8, "_"),
    form("ghs_", 8, "_-."),
    form("ghr_", 8, "_"),
    form("github_pat_", 8, "_"),
    form("glpat-", 8, "_-."),
    form("gldt-", 8, "_-"),
    form("glrt-", 8, "_-."),
    form("glptt-", 8, "_-"),
    form("glcbt-", 8, "_-."),
    form("glsoat-", 8, "_-"),
    form("glft-", 8, "_-"),
    form("glimt-", 8, "_-"),
    form("glagent-", 8, "_-"),
    // Registries of packages and images
    form("npm_", 16, ""),
    mixed("pypi-", 12, "_-"),
    form("rubygems_", 16, ""),
    form("dckr_pat_", 8, "_-"),
    form("dckr_oat_", 8, "_-"),
    form("hf_", 16, ""),
    form("AKCp", 30, ""),
    // Clouds
    mixed("AKIA", 12, ""),
    mixed("ASIA", 12, ""),
    form("AIza", 20, "_-"),
    form("ya29.", 16, "_-."),
    form("dop_v1_", 16, ""),
    form("doo_v1_", 16, ""),
    form("dor_v1_", 16, ""),
    form("hvs.", 16, "_-."),
    form("tskey-", 12, "_-"),
    form("AGE-SECRET-KEY-1", 20, ""),
    // Services
    mixed("sk-", 16, "_-."),
    form("sk_live_", 8, "_"),
    form("sk_test_", 8, "_"),
    form("rk_live_", 8, "_"),
    form("whsec_", 12, "+/="),
    form("SG.", 16, "_-."),
    form("xoxa-", 8, "-_"),
    form("xoxb-", 8, "-_"),
    form("xoxe-", 8, "-_"),
    form("xoxe.", 8, "-_."),
    form("xoxo-", 8, "-_"),
    form("xoxp-", 8, "-_"),
    form("xoxr-", 8, "-_"),
    form("xoxs-", 8, "-_"),
    form("xapp-", 8, "-_"),
    form("shpat_", 16, ""),
    form("shpss_", 16, ""),
    form("glsa_", 16, "_"),
    form("sntrys_", 16, "_-=+/"),
    form("ATATT3", 16, "_-="),
    form("hooks.slack.com/", 8, "_-/"),
    form("discord.com/api/webhooks/", 8, "_-/"),
    form("api.telegram.org/bot", 20, "_-:"),
    form("api.telegram.org/file/bot", 20, "_-:"),
    form("atlasv1.", 20, "_-"),
    form("pul-", 30, ""),
    form("lin_api_", 16, ""),
    form("lin_oauth_", 16, ""),
    form("NRAK-", 16, ""),
    form("fm1_", 20, "_-+/="),
    form("fm2_", 20, "_-+/="),
    form("sq0csp-", 16, "_-"),
    form("sq0atp-", 16, "_-"),
    form("gsk_", 20, ""),
    form("xai-", 30, ""),
    form("figd_", 16, "_-"),
    form("PMAK-", 20, "-"),
    form("sbp_", 20, ""),
    form("sb_secret_", 16, "_-"),
    form("pscale_tkn_", 16, "_-."),
    form("pscale_pw_", 16, "_-."),
    form("ATCTT3", 16, "_-="),
    form("ATBB", 20, ""),
    form("shpca_", 16, ""),
    form("shppa_", 16, ""),
    form("eyJ", 16, "_-.="),
];

/// The first two bytes of each form.
pub(super) fn starts() -> impl Iterator<Item = [u8; 2]> {
    FORMS.iter().map(|form| [form.prefix.as_bytes()[0], form.prefix.as_bytes()[1]])
}

/// Returns the range of the secret part of the token that begins at `at`.
pub(super) fn find(text: &str, at: usize) -> Option<(usize, usize)> {
    let before = text[..at].chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = &text[at..];
    let form =
        FORMS.iter().find(|form| rest.starts_with(form.prefix) && fits(form, &rest[form.prefix.len()..]))?;
    let begin = at + form.prefix.len();
    Some((begin, begin + length(form, &text[begin..])))
}

fn length(form: &Form, rest: &str) -> usize {
    let is_part = |c: char| c.is_ascii_alphanumeric() || form.more.contains(c);
    let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    // A full stop ends the sentence, not the token.
    rest[..length].trim_end_matches(['.', '/']).len()
}

fn fits(form: &Form, rest: &str) -> bool {
    let tail = &rest[..length(form, rest)];
    let is_mixed = || tail.chars().any(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    // A JWT has parts.
    let has_parts = || form.prefix != "eyJ" || tail.contains('.');
    tail.len() >= form.least && (!form.is_mixed || is_mixed()) && has_parts()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_the_form_is_a_token() {
        let hides =
            |text: &str| (0..text.len()).any(|at| text.is_char_boundary(at) && find(text, at).is_some());
        for text in [
            "AKIAIOSFODNN7EXAMPLE",
            "ghu_0123456789abcdef",
            "npm_0123456789abcdefghijABCDEFGHIJ012345",
            "pypi-AgEIcHlwaS5vcmcCJDAwMDAw",
            "sk-proj-0123456789abcdefABCDEF",
            "xoxs-1234-5678-abcdef",
            "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
            "dop_v1_0123456789abcdef0123456789abcdef",
            "SG.abcdefghijklmnop.qrstuvwxyz0123456789",
            "AIzaSyA0123456789abcdefghijklmnopqrstuv",
            "glpat-0123456789abcdefghij",
            "(eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl)",
            "https://hooks.slack.com/services/T000/B000/XXXX",
            "GET api.telegram.org/bot228891318:AASNRSi9hZc1We1BC6l8hWbvYXBIQHOW3vT/sendMessage",
            "0123456789abcd.atlasv1.0123456789abcdefghijklmnopqrstuvwxyz",
            "pul-0123456789abcdef0123456789abcdef01234567",
            "lin_api_0123456789abcdefABCDEF",
            "FlyV1 fm2_0123456789abcdefghij+/=",
        ] {
            assert!(hides(text), "{text}");
        }
        for text in [
            "npm_config_registry",
            "task-0123456789abcdefABCDEF",
            "pypi-attestations",
            "sk-something-with-words",
            "the eyJ of it",
            "ghp_x",
            "SG.x",
        ] {
            assert!(!hides(text), "{text}");
        }
    }
}
