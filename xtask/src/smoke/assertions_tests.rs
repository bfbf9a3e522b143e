//! Each assertion accepts a right answer and rejects a wrong one.

use std::time::Duration;

use serde_json::json;

use crate::smoke::assertions::*;
use crate::smoke::http::Head;

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Response {
        early: Vec::new(),
        head: Head { status, headers },
        body: body.into(),
        first_byte: Duration::from_millis(10),
    }
}

#[test]
fn json_needs_200_and_json() {
    assert_eq!(json(&response(200, &[], "{\"a\":1}")).unwrap(), json!({"a": 1}));
    assert!(json(&response(500, &[], "{}")).unwrap_err().to_string().contains("got 500"));
    assert!(json(&response(200, &[], "<b>Fatal error")).unwrap_err().to_string().contains("<b>Fatal"));
}

#[test]
fn a_script_must_say_ok() {
    assert_eq!(verdict(&json!({"ok": true, "detail": "png"})).unwrap(), "png");
    assert_eq!(verdict(&json!({"ok": false, "detail": "no png"})).unwrap_err().to_string(), "no png");
    assert!(verdict(&json!({})).is_err());
    assert!(verdict(&json!({"ok": "true"})).is_err());
}

#[test]
fn the_page_is_served_by_frankenphp() {
    assert!(
        page(&response(200, &[("Server", "Caddy")], "Hello from frankenphp")).unwrap().ends_with("by Caddy")
    );
    assert!(page(&response(200, &[], "<?php echo 'Hello'")).is_err());
    assert!(page(&response(404, &[], "Hello from frankenphp")).is_err());
}

#[test]
fn php_serves_with_threads() {
    let good = json!({"php": "8.4.24", "sapi": "frankenphp", "zts": true, "debug": false});
    assert_eq!(php(&good).unwrap(), "PHP 8.4.24, thread-safe");
    for name in good.as_object().unwrap().keys() {
        let mut bad = good.clone();
        bad[name] = json!(null);
        assert!(php(&bad).is_err(), "{name}");
    }
}

#[test]
fn a_listed_extension_must_be_loaded() {
    let loaded = json!({"extensions": ["gd", "Core"]});
    assert_eq!(
        extensions(&ExtensionFacts::read("gd", "", &loaded)).unwrap(),
        "all 1 in the image's list, 2 in total"
    );
    assert!(extensions(&ExtensionFacts::read("", "", &loaded)).unwrap().contains("no list"));
    assert!(
        extensions(&ExtensionFacts::read("gd intl", "", &loaded))
            .unwrap_err()
            .to_string()
            .ends_with(": intl")
    );
}

#[test]
fn every_server_field_counts() {
    let good = json!({"REQUEST_METHOD": "GET", "QUERY_STRING": "a=1&b=%20x", "REQUEST_URI": "/server.php?a=1&b=%20x",
        "SCRIPT_NAME": "/server.php", "SCRIPT_FILENAME": "/r/server.php", "DOCUMENT_ROOT": "/r",
        "SERVER_SOFTWARE": "FrankenPHP", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_X_DURANGO": "ride",
        "REMOTE_ADDR": "172.17.0.1", "GET": {"a": "1", "b": " x"}});
    assert!(server(&good, "/r").unwrap().contains("172.17.0.1"));
    for name in good.as_object().unwrap().keys() {
        let mut bad = good.clone();
        bad[name] = json!("other");
        assert!(server(&bad, "/r").is_err(), "{name}");
    }
}

#[test]
fn a_body_must_come_whole() {
    assert!(body(&json!({"bytes": 3, "sha256": "ab"}), 3, "ab").is_ok());
    assert!(body(&json!({"bytes": 2, "sha256": "ab"}), 3, "ab").is_err());
    assert!(body(&json!({"bytes": 3, "sha256": "cd"}), 3, "ab").is_err());
}

#[test]
fn sessions_need_a_cookie_that_means_something() {
    let set = response(200, &[("Set-Cookie", "PHPSESSID=abc; path=/")], "");
    assert_eq!(cookie(&set).unwrap(), "PHPSESSID=abc");
    assert!(cookie(&response(200, &[], "{}")).is_err());
    let [one, two] = [json!({"visits": 1}), json!({"visits": 2})];
    assert!(sessions([&one, &two, &one]).is_ok());
    assert!(sessions([&one, &one, &one]).is_err());
    assert!(sessions([&one, &two, &two]).is_err());
    assert!(sessions([&two, &two, &one]).is_err());
}

#[test]
fn an_upload_must_be_php_s_own() {
    let good = json!({"error": 0, "uploaded": true, "name": "Ä b.bin", "sha256": "ab", "field": "extra"});
    assert!(upload(&good, "ab").is_ok());
    for name in good.as_object().unwrap().keys() {
        let mut bad = good.clone();
        bad[name] = json!(null);
        assert!(upload(&bad, "ab").is_err(), "{name}");
    }
}

#[test]
fn hints_must_be_early() {
    let hint = Head { status: 103, headers: vec![("Link".into(), "</style.css>; rel=preload".into())] };
    let good = Response { early: vec![hint.clone()], ..response(200, &[], "after the hints: seen") };
    assert!(hints(&good).is_ok());
    assert!(hints(&Response { early: vec![], ..good.clone() }).is_err());
    assert!(hints(&Response { body: b"after the hints: ".to_vec(), ..good.clone() }).is_err());
    assert!(hints(&Response { early: vec![Head { headers: vec![], ..hint }], ..good }).is_err());
}

#[test]
fn a_worker_keeps_its_state_until_it_is_restarted() {
    assert!(rises(&[4, 5, 6]).is_ok());
    assert!(rises(&[1, 1, 1]).is_err());
    assert!(rises(&[1]).is_err());
    assert!(restarted(4, 1).is_ok());
    assert!(restarted(4, 5).is_err());
    assert!(restarted(1, 1).is_err());
}

#[test]
fn only_503_says_busy() {
    assert!(busy(200, &response(503, &[], "")).is_ok());
    assert!(busy(200, &response(200, &[], "")).is_err());
    assert!(busy(500, &response(503, &[], "")).is_err());
}

#[test]
fn another_user_must_be_able_to_write() {
    let good = json!({"uid": 65534, "writable": true, "data": true});
    assert!(user(&good, 65534).is_ok());
    assert!(user(&good, 0).is_err());
    for name in ["writable", "data"] {
        let mut bad = good.clone();
        bad[name] = json!(false);
        assert!(user(&bad, 65534).is_err(), "{name}");
    }
}

#[test]
fn lists_are_read_by_their_first_words() {
    assert!(lists("http.handlers.php v1\nfrankenphp\n", &["frankenphp", "http.handlers.php"]).is_ok());
    assert!(lists("admin.api.frankenphp\n", &["frankenphp"]).is_err());
}

#[test]
fn an_application_may_redirect_but_not_break() {
    assert!(own_page(&json!({"status": "HTTP/1.1 302 Found", "bytes": 0})).is_ok());
    assert!(own_page(&json!({"status": "HTTP/1.1 500 Internal Server Error", "bytes": 0})).is_err());
    assert!(own_page(&json!({"status": "no answer", "bytes": 0})).is_err());
}

fn production_settings() -> Value {
    let settings: serde_json::Map<String, Value> =
        PRODUCTION.iter().map(|(name, allowed)| ((*name).to_owned(), allowed[0].into())).collect();
    json!({"settings": settings, "environment": 0, "path": true})
}

#[test]
fn each_setting_for_production_is_needed() {
    production(&production_settings()).unwrap();
    for (name, _) in PRODUCTION {
        let mut seen = production_settings();
        seen["settings"][*name] = "EGPCS".into();
        assert!(production(&seen).unwrap_err().to_string().starts_with(name), "{name}");
    }
    let mut seen = production_settings();
    seen["environment"] = 12.into();
    assert!(production(&seen).is_err());
}

#[test]
fn an_admin_api_that_code_finds_is_a_failure() {
    let asked = ["tcp://127.0.0.1:2019", "tcp://127.0.0.1:80"];
    admin(&json!({"asked": asked, "admin": []})).unwrap();
    let found = admin(&json!({"asked": asked, "admin": ["tcp://127.0.0.1:2019"]}));
    assert!(found.unwrap_err().to_string().contains(":2019"));
    assert!(admin(&json!({"asked": asked[..1], "admin": []})).is_err(), "it saw no listener at all");
    assert!(admin(&json!({"asked": asked})).is_err());
}

#[test]
fn a_hidden_file_needs_404_and_no_content() {
    hidden("/.env", &response(404, &[], "")).unwrap();
    assert!(hidden("/.env", &response(200, &[], "")).is_err());
    assert!(hidden("/.env", &response(404, &[], "Hello")).is_err());
}
