//! The rules: pure and synchronous.

/// Maximum length of a token's name, in characters.
pub(crate) const NAME_LENGTH_MAX: usize = 64;

/// The role that a credential has now: the one that it was issued with, but never more than its holder's own role.
/// None if its holder has no access any more.
pub(crate) fn standing<Role: Ord>(issued: Role, of_holder: Option<Role>) -> Option<Role> {
    of_holder.map(|own| own.min(issued))
}

/// Checks the name of a token, which people read in lists.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.trim().is_empty() {
        Err("must not be empty")
    } else if name.chars().count() > NAME_LENGTH_MAX {
        Err("must have at most 64 characters")
    } else if name.chars().any(char::is_control) {
        Err("must not contain control characters")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_never_has_more_rights_than_its_holder() {
        for (issued, own, now) in [(1, Some(1), Some(1)), (2, Some(1), Some(1)), (1, Some(2), Some(1)), (2, None, None)]
        {
            assert_eq!(standing(issued, own), now);
        }
    }

    #[test]
    fn a_name_is_readable() {
        assert_eq!(check_name("밤 교대 스크립트"), Ok(()));
        for bad in ["", " ", "a\nb", "\0", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
