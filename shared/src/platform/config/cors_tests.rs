use super::*;

#[test]
fn origin_in_browser_form_is_allowed_for_any_scheme() {
    for origin in [
        "https://app.example.com",
        "http://localhost:5173",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "https://xn--bcher-kva.example",
        "https://app.example.com:8443",
        "http://app.example.com:443",
        "capacitor://localhost",
        "ionic://localhost",
        "tauri://localhost",
        "app://obsidian.md",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://2b1f0c7e-58b5-4d3a-9a53-0d3f6c1f2b11",
        "custom+app-1.0://host:1234",
    ] {
        let origins = AllowedOrigins::parse(&format!("https://first.example.com, {origin}"))
            .unwrap_or_else(|why| panic!("{origin} {why}"));
        assert!(origins.contains(origin) && origins.contains("https://first.example.com"), "{origin}");
        for other in
            ["https://other.example.com", "null", "", "*", &format!("{origin}/"), &format!("{origin}0")]
        {
            assert!(!origins.contains(other), "{other} by {origin}");
        }
    }
}

#[test]
fn origin_in_another_form_is_rejected_with_a_reason() {
    for (wrong, reason) in [
        ("", "no origin"),
        ("app.example.com", "no origin"),
        ("localhost:3000", "without a host"),
        ("https://", "no origin"),
        ("file:///index.html", "without a host"),
        ("mailto:a@example.com", "without a host"),
        ("data:text/html,x", "without a host"),
        ("null", "sandboxed"),
        ("*", "every page"),
        ("https://app.example.com/", "another way"),
        ("https://app.example.com/path", "another way"),
        ("https://app.example.com?a", "another way"),
        ("https://app.example.com#a", "another way"),
        ("https://user@app.example.com", "another way"),
        ("https://app.example.com:443", "another way"),
        ("http://localhost:80", "another way"),
        ("https://APP.example.com", "another way"),
        ("HTTPS://app.example.com", "another way"),
        ("capacitor://LOCALHOST", "another way"),
        ("capacitor://localhost/", "another way"),
        ("https://b\u{fc}cher.example", "no origin"),
        ("https:app.example.com", "no origin"),
        ("https://app.example.com:99999", "no origin"),
    ] {
        let why = AllowedOrigins::parse(&format!("http://localhost:3000,{wrong}")).unwrap_err();
        assert!(why.starts_with("has as number 2 ") && why.contains(reason), "{wrong}: {why}");
    }
}

#[test]
fn wildcard_origin_matches_names_below_the_domain_only() {
    let origins =
        AllowedOrigins::parse("https://*.example.app,chrome://*.a.b,http://*.dev.example.com:8080").unwrap();
    for inside in [
        "https://a.example.app",
        "https://pr-7.team_1.example.app",
        "https://xn--bcher-kva.example.app",
        "chrome://x.a.b",
        "http://x.dev.example.com:8080",
    ] {
        assert!(origins.contains(inside), "{inside}");
    }
    for outside in [
        "https://example.app",
        "https://.example.app",
        "https://a..example.app",
        "https://*.example.app",
        "https://aexample.app",
        "https://a.example.app.evil.com",
        "https://evil.com/.example.app",
        "https://evil.com:80.example.app",
        "https://user@a.example.app",
        "https://evil.com#.example.app",
        "https://A.example.app",
        "http://a.example.app",
        "https://a.example.app:8443",
        "http://x.dev.example.com",
        "http://x.dev.example.com:80800",
        "null",
    ] {
        assert!(!origins.contains(outside), "{outside}");
    }
}

#[test]
fn misplaced_wildcard_is_rejected_with_a_reason() {
    for (wrong, reason) in [
        ("https://*", "whole first name"),
        ("https://*.com", "two names"),
        ("https://*.localhost", "two names"),
        ("https://*.", "no origin"),
        ("https://*..com", "two names"),
        ("https://*.example.app/", "another way"),
        ("https://*.example.app:443", "another way"),
        ("https://*.EXAMPLE.app", "another way"),
        ("https://*.10.0.0.1", "two names"),
        ("https://*.[::1]", "two names"),
        ("https://*.*.example.app", "more than one"),
        ("https://*.example.*", "more than one"),
        ("https://a*.example.app", "whole first name"),
        ("https://*a.example.app", "whole first name"),
        ("https://a.*.example.app", "whole first name"),
        ("https://a.example.app:*", "whole first name"),
        ("*://a.example.app", "whole first name"),
        ("*://*.example.app", "no origin"),
        ("*.example.app", "whole first name"),
        ("https://*.vercel.app", "anybody"),
        ("https://*.co.uk", "anybody"),
        ("https://*.com.au:8443", "anybody"),
    ] {
        let why = AllowedOrigins::parse(wrong).unwrap_err();
        assert!(why.starts_with("has as number 1 ") && why.contains(reason), "{wrong}: {why}");
    }
    assert!(AllowedOrigins::parse("https://*.my-team.vercel.app,https://*.example.co.uk").is_ok());
}

#[test]
fn header_name_that_pages_cannot_send_is_rejected() {
    assert_eq!(header_names("X-Tenant, x_y.z,a!#$%&'+^`|~").unwrap(), ["x-tenant", "x_y.z", "a!#$%&'+^`|~"]);
    for (wrong, reason) in [
        ("", "nothing"),
        ("*", "authorization"),
        ("a b", "RFC 9110"),
        ("a:b", "RFC 9110"),
        ("\u{fc}", "RFC 9110"),
        ("a\nb", "RFC 9110"),
        ("Cookie", "token only"),
        ("host", "no browser"),
        ("Sec-Fetch-Mode", "no browser"),
        ("proxy-authorization", "no browser"),
    ] {
        let why = header_names(&format!("x-a,{wrong}")).unwrap_err();
        assert!(why.starts_with("has as number 2 ") && why.contains(reason), "{wrong}: {why}");
    }
}
