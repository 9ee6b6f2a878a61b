//! The rules: pure and synchronous.

/// Maximum length of a token's name, in characters.
pub(crate) const NAME_LENGTH_MAX: usize = 64;

/// The role that a credential has now: the one that it was issued with, but never more than its holder's own role.
/// None if its holder has no access any more.
pub(crate) fn standing<Role: Ord>(issued: Role, of_holder: Option<Role>) -> Option<Role> {
    of_holder.map(|own| own.min(issued))
}

/// The highest of the roles that groups give. `rules` has a role with the groups that give it.
pub(crate) fn role_of_groups<Role: Ord + Copy>(groups: &[&str], rules: &[(Role, &[String])]) -> Option<Role> {
    let given = rules.iter().filter(|(_, own)| own.iter().any(|group| groups.contains(&group.as_str())));
    given.map(|(role, _)| *role).max()
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
    fn the_highest_role_of_all_groups_counts() {
        let (staff, leads) = (["staff".to_owned()], ["leads".to_owned(), "admins".to_owned()]);
        let rules: [(u8, &[String]); 2] = [(1, &staff), (2, &leads)];
        for (groups, role) in [
            (&["staff", "other"][..], Some(1)),
            (&["staff", "admins"], Some(2)),
            (&["Staff", "leads "], None),
            (&[], None),
        ] {
            assert_eq!(role_of_groups(groups, &rules), role, "{groups:?}");
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
