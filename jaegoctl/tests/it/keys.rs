//! `jaegoctl keys`: signed tokens stay valid while keys change.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use jaego_contracts::callback::{CallbackClaims, CallbackSigner, CallbackVerifier, public_key_id};
use jaego_contracts::ids::{Quantity, RequestId};
use testkit::keys::CallbackKeys;

use crate::program::{Ran, run};

struct Keys(tempfile::TempDir);

impl Keys {
    fn dir(&self) -> &Path {
        self.0.path()
    }

    async fn does(&self, args: &[&str], code: i32) -> Ran {
        let dir = self.dir().join("keys");
        let args: Vec<&str> =
            ["--json", "keys"].iter().chain(args).copied().chain(["--dir", dir.to_str().unwrap()]).collect();
        let ran = run(&args, &[]).await.ends_with(code);
        assert!(!format!("{ran:?}").contains("PRIVATE"), "{ran:?}");
        ran
    }

    /// The set as restock-service reads it: split at commas.
    fn verifier(&self) -> CallbackVerifier {
        let set = fs::read_to_string(self.dir().join("keys/public-keys.txt")).unwrap();
        CallbackVerifier::from_pems(set.split(',')).expect("public keys")
    }
}

fn token(private_pem: &str) -> String {
    let quantity = Quantity::try_from(10).unwrap();
    let (sku, factory) = ("CP-502101".parse().unwrap(), "FF-500293".parse().unwrap());
    let valid = chrono::Duration::days(30);
    let claims = CallbackClaims::new(RequestId::generate(), sku, quantity, factory, chrono::Utc::now(), valid);
    CallbackSigner::from_pem(private_pem).expect("a private key").sign(&claims).unwrap()
}

#[tokio::test]
async fn tokens_of_the_old_key_stay_good_until_it_is_dropped() {
    let keys = Keys(tempfile::TempDir::new().unwrap());
    let old = CallbackKeys::generate().unwrap();
    let public = keys.dir().join("old.pem");
    fs::write(&public, &old.public_pem).unwrap();
    let old_kid = public_key_id(&old.public_pem).unwrap();

    // Without `--keep` restock-service would lose the old key.
    let ran = keys.does(&["rotate"], 2).await;
    assert!(ran.stderr.contains("--keep") && ran.stderr.contains("--first"), "{}", ran.stderr);
    let document = keys.does(&["rotate", "--keep", public.to_str().unwrap()], 0).await.json();
    let new_kid = document["new"].as_str().unwrap();
    assert_ne!(new_kid, old_kid);
    let private = document["private_key_file"].as_str().unwrap();
    assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(keys.dir().join("keys")).unwrap().permissions().mode() & 0o777, 0o700);
    let new_private = fs::read_to_string(private).unwrap();
    for signed in [&old.private_pem, &new_private] {
        keys.verifier().verify(&token(signed)).expect("both are good");
    }

    // Rotated once more: no key is lost.
    let document = keys.does(&["rotate"], 0).await.json();
    assert_eq!(document["public_keys"].as_array().map(Vec::len), Some(3), "{document}");
    let newest = fs::read_to_string(document["private_key_file"].as_str().unwrap()).unwrap();
    for signed in [&old.private_pem, &new_private, &newest] {
        keys.verifier().verify(&token(signed)).expect("all are good");
    }
    assert_eq!(fs::read_to_string(private).unwrap(), new_private, "nothing is overwritten");

    keys.does(&["drop", &old_kid], 0).await;
    assert!(keys.verifier().verify(&token(&old.private_pem)).is_err());
    keys.verifier().verify(&token(&newest)).expect("the others stay");
    keys.does(&["drop", &old_kid], 4).await;
    assert_eq!(keys.does(&["ls"], 0).await.json()["public_keys"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn the_last_key_and_private_keys_are_guarded() {
    let keys = Keys(tempfile::TempDir::new().unwrap());
    keys.does(&["ls"], 2).await;
    let pair = CallbackKeys::generate().unwrap();
    let file = keys.dir().join("file.pem");
    for (text, expected) in
        [(pair.private_pem.as_str(), "private key"), ("nonsense", "no public key"), ("", "no public key")]
    {
        fs::write(&file, text).unwrap();
        let ran = keys.does(&["rotate", "--keep", file.to_str().unwrap()], 2).await;
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    let document = keys.does(&["rotate", "--first"], 0).await.json();
    let kid = document["new"].as_str().unwrap();
    let ran = keys.does(&["drop", kid], 4).await;
    assert!(ran.stderr.contains("only public key"), "{}", ran.stderr);
    // The text output lists the next steps, in the order that loses nothing.
    let dir = keys.dir().join("keys");
    let ran = run(&["keys", "rotate", "--dir", dir.to_str().unwrap()], &[]).await.ends_with(0);
    let at = |text: &str| ran.stdout.find(text).unwrap_or_else(|| panic!("{text}: {}", ran.stdout));
    assert!(at("JAEGO_RESTOCK__CALLBACK__PUBLIC_KEYS") < at("JAEGO_PRODUCTION__CALLBACK__SIGNING_KEY"));
    assert!(!ran.stdout.contains("-----BEGIN"), "{}", ran.stdout);
}
