use std::time::SystemTime;

use super::*;

#[test]
fn names_and_addresses_come_from_the_alternative_names_only() {
    let certificate = Authority::new().issue(&["a.test", "*.b.test", "127.0.0.1", "::ffff:10.0.0.1", "f*.c.test"]);
    assert_eq!(certificate.names(), patterns(&["a.test", "*.b.test"]));
    for covered in ["a.test", "x.b.test"] {
        assert!(certificate.covers(&host(covered)), "{covered}");
    }
    for uncovered in ["b.test", "x.y.b.test", "x.a.test", "fx.c.test", "rcgen"] {
        assert!(!certificate.covers(&host(uncovered)), "{uncovered}");
    }
    assert!(certificate.covers_address("127.0.0.1".parse().unwrap()));
    assert!(certificate.covers_address("::ffff:127.0.0.1".parse().unwrap()));
    assert!(certificate.covers_address("10.0.0.1".parse().unwrap()));
    assert!(!certificate.covers_address("127.0.0.2".parse().unwrap()));
    assert!(certificate.warnings(SystemTime::now()).is_empty());
}

#[test]
fn validity_and_missing_names_are_warnings_not_errors() {
    let authority = Authority::new();
    let now = SystemTime::now();
    let warnings = |names: &[&str], validity| authority.issue_as(names, Key::Ecdsa, validity).warnings(now);
    assert!(matches!(warnings(&["a.test"], Validity::Past)[..], [CertificateWarning::Expired(_)]));
    assert!(matches!(warnings(&["a.test"], Validity::Future)[..], [CertificateWarning::NotYetValid(_)]));
    assert_eq!(warnings(&[], Validity::Now), [CertificateWarning::NoName]);
    let text = CertificateWarning::Expired(Duration::from_secs(3 * 86_400)).to_string();
    assert_eq!(text, "the certificate expired 3 days ago; renew it");
}

#[test]
fn a_key_of_another_certificate_is_refused_with_both_files_named() {
    let authority = Authority::new();
    let (chain, _) = authority.files(&["a.test"], Key::Ecdsa, Validity::Now);
    let (_, key) = authority.files(&["b.test"], Key::Ecdsa, Validity::Now);
    let error = Certificate::load(&chain, &key).unwrap_err();
    assert!(matches!(error, CertificateError::Mismatch { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(chain.to_str().unwrap()) && text.contains(key.to_str().unwrap()), "{text}");
}

#[test]
fn a_chain_in_the_wrong_order_is_told_from_a_wrong_key() {
    let authority = Authority::new();
    let (chain, key) = authority.files(&["a.test"], Key::Ecdsa, Validity::Now);
    let turned = format!("{}{}", authority.issuer.pem(), fs::read_to_string(&chain).unwrap());
    fs::write(&chain, turned).unwrap();
    let error = Certificate::load(&chain, &key).unwrap_err();
    assert!(matches!(error, CertificateError::Order { position: 2, .. }), "{error:?}");
}

#[test]
fn what_is_no_certificate_or_no_usable_key_is_refused() {
    let authority = Authority::new();
    let (chain, key) = authority.files(&["a.test"], Key::Ecdsa, Validity::Now);
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let wrong_key = authority.folder.path().join("wrong.key");
    fs::write(&wrong_key, pem("PRIVATE KEY")).unwrap();
    assert!(matches!(Certificate::load(&chain, &wrong_key), Err(CertificateError::UnusableKey(..))));
    fs::write(&chain, pem("CERTIFICATE")).unwrap();
    assert!(matches!(Certificate::load(&chain, &key), Err(CertificateError::Invalid(_))));
    assert!(matches!(Authorities::load(&chain), Err(AuthoritiesError::Invalid { position: 1, .. })));
}

#[test]
fn no_text_made_from_a_certificate_holds_its_key() {
    let authority = Authority::new();
    let (chain, key) = authority.files(&["a.test"], Key::Ecdsa, Validity::Now);
    let certificate = Arc::new(Certificate::load(&chain, &key).unwrap());
    let policy = policy(parameters(fixed(&certificate)));
    let secret = fs::read_to_string(&key).unwrap().lines().nth(1).unwrap().to_owned();
    let text = format!("{certificate:?} {policy:?} {:?}", TicketKeys::generate().unwrap());
    assert!(!text.contains(&secret));
    assert_eq!(format!("{certificate:?}"), format!("Certificate({} with {})", chain.display(), key.display()));
}

#[test]
fn a_self_signed_certificate_is_for_its_names_and_the_local_host() {
    let certificate = Certificate::self_signed(&patterns(&["a.test", "**.b.test", "localhost"])).unwrap();
    assert_eq!(certificate.names(), patterns(&["a.test", "*.b.test", "localhost"]));
    for address in ["127.0.0.1", "::1"] {
        assert!(certificate.covers_address(address.parse().unwrap()));
    }
    let now = SystemTime::now();
    assert!(certificate.warnings(now).is_empty());
    assert!(certificate.not_after() < now + Duration::from_secs(825 * 86_400));
}

#[test]
fn the_store_prefers_the_exact_name_and_the_elliptic_curve() {
    let authority = Authority::new();
    let wide = authority.issue(&["*.test", "other.example"]);
    let exact = authority.issue(&["a.test"]);
    let rsa = authority.issue_as(&["both.test"], Key::Rsa, Validity::Now);
    let ecdsa = authority.issue(&["both.test"]);
    let all = [&wide, &exact, &rsa, &ecdsa].map(Arc::clone);
    let store = CertificateStore::new(all.to_vec());
    let found = |name: &str| store.find(Some(&host(name)));
    assert!(Arc::ptr_eq(found("a.test").unwrap(), &exact));
    assert!(Arc::ptr_eq(found("b.test").unwrap(), &wide));
    assert!(Arc::ptr_eq(found("other.example").unwrap(), &wide));
    assert!(Arc::ptr_eq(found("both.test").unwrap(), &ecdsa));
    assert!(Arc::ptr_eq(store.find(None).unwrap(), &wide));
    for uncovered in ["test", "x.y.test", "x.other.example"] {
        assert!(found(uncovered).is_none(), "{uncovered}");
    }
    assert_eq!(store.certificates().len(), 4);
    assert!(CertificateStore::new(Vec::new()).find(None).is_none());
}

#[test]
fn authorities_are_equal_by_what_they_hold() {
    let (a, b) = (Authority::new(), Authority::new());
    let both = |first: &Authority, second: &Authority| {
        let path = first.folder.path().join("both.pem");
        fs::write(&path, format!("{}{}{}", first.issuer.pem(), second.issuer.pem(), first.issuer.pem())).unwrap();
        Authorities::load(&path).unwrap()
    };
    assert_eq!(both(&a, &b), both(&b, &a));
    assert_eq!(a.authorities(), a.authorities());
    assert_ne!(a.authorities(), b.authorities());
    assert_ne!(a.authorities(), both(&a, &b));
}
