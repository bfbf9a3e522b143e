//! Names whose values are secrets: of variables, arguments, fields, headers and options.

/// A part of a name that makes it a secret, wherever it stands in the name.
const ANYWHERE: &[&str] = &[
    "authorization",
    "authn",
    "connectionstring",
    "cookie",
    "cookies",
    "cred",
    "creds",
    "dockercfg",
    "dockerconfig",
    "dockerconfigjson",
    "dsn",
    "htpasswd",
    "jwt",
    "kubeconfig",
    "netrc",
    "passcode",
    "sig",
    "signature",
    "webhook",
];
/// The end of a part that does, as in `PGPASSWORD`, `SSHPASS` and `authtoken`.
const ENDS: &[&str] = &[
    "apikey",
    "accesskey",
    "authkey",
    "auth",
    "credential",
    "credentials",
    "encryptionkey",
    "masterkey",
    "pass",
    "passphrase",
    "passwd",
    "passwds",
    "password",
    "passwords",
    "passwort",
    "privatekey",
    "psw",
    "pwd",
    "secret",
    "secretkey",
    "secrets",
    "signingkey",
    "token",
    "tokens",
];
/// The last part of a name that does.
const LAST: &[&str] = &["pat", "pw", "pin", "otp"];
/// Words before `key` in names of keys that are not secret.
const OPEN_KEYS: &[&str] =
    &["cache", "foreign", "host", "hot", "index", "partition", "primary", "pub", "public", "sort", "unique"];
/// Parts that end like a secret and are none.
const INNOCENT: &[&str] = &["bypass", "compass", "encompass", "surpass", "trespass"];
/// Names that look like secrets and are none: directories and sockets that every shell has.
const KNOWN: &[&str] = &["PWD", "OLDPWD", "SSH_AUTH_SOCK", "INIT_CWD"];
/// Names of values that are shown in prose as `name:value`.
const STRONG: &[&str] = &["password", "passwd", "passphrase", "pwd"];

/// Returns whether the value of what has this name is a secret.
pub fn is_secret(name: &str) -> bool {
    if !may_be_secret(name) || KNOWN.contains(&name) {
        return false;
    }
    let parts = parts(name);
    let is_strong = |part: &String| {
        let part = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let ends = ENDS.iter().any(|end| part.ends_with(end)) && !INNOCENT.contains(&part);
        ends || ANYWHERE.contains(&part)
    };
    parts.iter().any(is_strong) || is_key(name, &parts) || is_weak(&parts)
}

/// Returns whether a name has the letters of any secret's name. Most names have not, and are not
/// taken apart.
fn may_be_secret(name: &str) -> bool {
    let is_part = |three: &[u8]| {
        matches!(
            &[three[0] | 0x20, three[1] | 0x20, three[2] | 0x20],
            b"aut"
                | b"key"
                | b"con"
                | b"coo"
                | b"cre"
                | b"doc"
                | b"dsn"
                | b"jwt"
                | b"kub"
                | b"net"
                | b"otp"
                | b"pas"
                | b"pat"
                | b"pin"
                | b"psw"
                | b"pwd"
                | b"sec"
                | b"sig"
                | b"tok"
                | b"web"
        )
    };
    let bytes = name.as_bytes();
    bytes.windows(3).any(is_part)
        || bytes.last_chunk::<2>().is_some_and(|two| two.eq_ignore_ascii_case(b"pw"))
}

/// Returns whether the name is that of a password, also where it stands in prose.
pub(crate) fn is_password(name: &str) -> bool {
    parts(name).last().is_some_and(|part| STRONG.iter().any(|strong| part.ends_with(strong)))
}

/// Returns whether the value is all that follows in its line: a header.
pub(crate) fn is_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("authorization") || name.ends_with("cookie")
}

/// `APP_KEY`, `deployKey` and `ACCESS_KEY_ID`, but not `CACHE_KEY`.
fn is_key(name: &str, parts: &[String]) -> bool {
    let own = self::parts(name.rsplit('.').next().unwrap_or(name)).len();
    let pairs = || parts.windows(2).filter(|pair| pair[1] == "key" || pair[1] == "keys");
    // In `TARGET.KEY`, only the last word is the name.
    let is_last =
        |pair: &&[String]| std::ptr::eq(&raw const pair[1], &raw const parts[parts.len() - 1]) && own > 1;
    let of_access =
        |pair: &[String]| ["access", "api", "private", "secret", "signing"].contains(&pair[0].as_str());
    let is_string = parts.windows(2).any(|pair| pair[0] == "connection" && pair[1] == "string");
    is_string
        || pairs().any(of_access)
        || pairs().filter(is_last).any(|pair| !OPEN_KEYS.contains(&pair[0].as_str()))
}

fn is_weak(parts: &[String]) -> bool {
    parts.len() > 1 && parts.last().is_some_and(|last| LAST.contains(&last.as_str()))
}

/// The words of a name, in lower case: `_`, `-`, `.` and capitals part them.
fn parts(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut parts = vec![String::new()];
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| chars[at]);
        let begins = c.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_uppercase() && chars.get(at + 1).is_some_and(|next| next.is_lowercase()))
            });
        if begins || !c.is_alphanumeric() {
            parts.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(last) = parts.last_mut()
        {
            last.extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "DB_PASSWORD",
            "DB_PW",
            "PGPASSWORD",
            "MYSQL_PWD",
            "DB_PWD",
            "X_PSW",
            "SSHPASS",
            "dbPassword",
            "authToken",
            "_authToken",
            "NPM_CONFIG__AUTHTOKEN",
            "apiToken",
            "APIKey",
            "APP_KEY",
            "DEPLOY_KEY",
            "SSH_KEY",
            "STRIPE_KEY",
            "AWS_ACCESS_KEY_ID",
            "GITHUB_PAT",
            "SENTRY_DSN",
            "JWT",
            "JWT_SIGNING",
            "access_token",
            "X-Amz-Signature",
            "X-Api-Key",
            "Authorization",
            "client_secret",
            "clientSecret",
            "password2",
            "TOKEN_1",
            "ConnectionString",
            "AZURE_CONNECTION_STRING",
            "DOCKER_AUTH_CONFIG",
            "KUBECONFIG",
            "credentials",
            "http-basic-auth",
        ] {
            assert!(is_secret(name), "{name}");
        }
    }

    #[test]
    fn other_names_are_none() {
        for name in [
            "PWD",
            "OLDPWD",
            "SSH_AUTH_SOCK",
            "CACHE_KEY",
            "PUBLIC_KEY",
            "primary_key",
            "key",
            "KEYBOARD",
            "AUTHOR",
            "authority",
            "BYPASS",
            "COMPASS",
            "PATH",
            "PHP_VERSION",
            "SPIN",
            "pat",
            "T.KEY",
            "monkey",
            "tokenizer",
            "secretary",
            "HOME",
        ] {
            assert!(!is_secret(name), "{name}");
        }
        assert!(is_password("db_password") && is_password("MYSQL_PWD") && !is_password("token"));
        assert!(is_header("Proxy-Authorization") && is_header("Set-Cookie") && !is_header("X-Api-Key"));
    }
}
