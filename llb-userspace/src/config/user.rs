//! Who workers are, if not who llb is: a user of the system's and that user's groups.

use std::{
    io,
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};

/// What workers run as.
///
/// ```
/// use llb::config::{Identity, IdentityError};
///
/// let root = Identity::find(Some("root"), None)?;
/// assert!(root.is_some());
/// assert_eq!(Identity::find(None, None)?, None);
/// let error = Identity::find(Some("no-such-user"), None).unwrap_err();
/// assert!(matches!(error, IdentityError::NoUser { name } if name == "no-such-user"));
/// # Ok::<(), IdentityError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub(crate) uid: Uid,
    /// The first of the groups.
    pub(crate) gid: Gid,
    /// All of them.
    pub(crate) groups: Vec<Gid>,
    /// What the user database says of the user; `None` if llb's own user stays.
    pub(crate) login: Option<Login>,
}

/// A user as the database has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Login {
    /// Name, home directory and shell; `None` for a number that is in no database.
    pub(crate) entry: Option<(String, PathBuf, PathBuf)>,
}

/// Why workers cannot run as the user or the group that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is no such user.
    #[error("there is no user {name:?} (--user); see `getent passwd`")]
    NoUser {
        /// As it was given.
        name: String,
    },
    /// There is no such group.
    #[error("there is no group {name:?} (--group); see `getent group`")]
    NoGroup {
        /// As it was given.
        name: String,
    },
    /// A number that no user is known by.
    #[error("user {uid} (--user) is in no user database, so its group is not known; name one with --group")]
    NoGroupOfUser {
        /// The user.
        uid: u32,
    },
    /// The database cannot be read.
    #[error("cannot look up {name:?} in the user database")]
    Database {
        /// As it was given.
        name: String,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

impl Identity {
    /// Looks up a user and a group, each by name or number. The group is the user's own and the user's other groups come
    /// along, unless one is named: then it is the only one. `None` if neither is given.
    ///
    /// # Errors
    /// If there is no such user or group.
    pub fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Self>, IdentityError> {
        let named = group.map(find_group).transpose()?;
        let Some(user) = user else {
            return Ok(named.map(|gid| Identity { uid: geteuid(), gid, groups: vec![gid], login: None }));
        };
        let identity = match find_user(user)? {
            Found::Entry(entry) => {
                let gid = named.unwrap_or(entry.gid);
                let groups = if named.is_some() { vec![gid] } else { groups_of(&entry)? };
                let User { name, dir, shell, uid, .. } = entry;
                Identity { uid, gid, groups, login: Some(Login { entry: Some((name, dir, shell)) }) }
            }
            Found::Number(uid) => {
                let gid = named.ok_or(IdentityError::NoGroupOfUser { uid: uid.as_raw() })?;
                Identity { uid, gid, groups: vec![gid], login: Some(Login::default()) }
            }
        };
        Ok(Some(identity))
    }
}

impl Login {
    /// The variables of a login, by name; without a value where there is none to be had, as llb's own would be wrong.
    pub(crate) fn variables(&self) -> [(&'static str, Option<&Path>); 4] {
        let (name, home, shell) = match &self.entry {
            Some((name, home, shell)) => (Some(Path::new(name)), Some(home.as_path()), Some(shell.as_path())),
            None => (None, None, None),
        };
        [("HOME", home), ("LOGNAME", name), ("SHELL", shell), ("USER", name)]
    }
}

enum Found {
    Entry(User),
    Number(Uid),
}

fn find_user(name: &str) -> Result<Found, IdentityError> {
    if let Some(entry) = User::from_name(name).map_err(database(name))? {
        return Ok(Found::Entry(entry));
    }
    let uid = Uid::from_raw(number(name).ok_or_else(|| IdentityError::NoUser { name: name.to_owned() })?);
    Ok(User::from_uid(uid).map_err(database(name))?.map_or(Found::Number(uid), Found::Entry))
}

fn find_group(name: &str) -> Result<Gid, IdentityError> {
    match Group::from_name(name).map_err(database(name))? {
        Some(entry) => Ok(entry.gid),
        None => number(name).map(Gid::from_raw).ok_or_else(|| IdentityError::NoGroup { name: name.to_owned() }),
    }
}

/// A user's or group's number. The highest is none: to setresuid(2) it means "stay who you are".
fn number(name: &str) -> Option<u32> {
    name.parse().ok().filter(|number| *number != u32::MAX)
}

fn groups_of(entry: &User) -> Result<Vec<Gid>, IdentityError> {
    let name = std::ffi::CString::new(entry.name.as_str()).unwrap_or_default();
    getgrouplist(&name, entry.gid).map_err(database(&entry.name))
}

fn database(name: &str) -> impl Fn(nix::errno::Errno) -> IdentityError {
    let name = name.to_owned();
    move |errno| IdentityError::Database { name: name.clone(), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use nix::unistd::{Gid, Uid, getegid, geteuid};

    use super::{Identity, IdentityError};

    fn find(user: Option<&str>, group: Option<&str>) -> Identity {
        Identity::find(user, group).unwrap().unwrap()
    }

    #[test]
    fn nobody_is_asked_for_nothing() {
        assert_eq!(Identity::find(None, None).unwrap(), None);
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let root = find(Some("root"), None);
        assert_eq!((root.uid, root.gid), (Uid::from_raw(0), Gid::from_raw(0)));
        assert!(root.groups.contains(&root.gid));
        assert_eq!(root, find(Some("0"), None));
        let variables = root.login.as_ref().unwrap().variables();
        assert_eq!(variables[0], ("HOME", Some("/root".as_ref())));
        assert_eq!(variables[3], ("USER", Some("root".as_ref())));
    }

    #[test]
    fn a_named_group_is_the_only_one() {
        let other = find(Some("root"), Some("4711"));
        assert_eq!((other.gid, other.groups), (Gid::from_raw(4711), vec![Gid::from_raw(4711)]));
        let own_user = find(None, Some("4711"));
        assert_eq!((own_user.uid, own_user.login), (geteuid(), None));
        assert_ne!(own_user.gid, getegid());
    }

    #[test]
    fn a_number_in_no_database_needs_a_group_and_has_no_home() {
        let unknown = find(Some("3999999999"), Some("3999999999"));
        assert_eq!(unknown.uid, Uid::from_raw(3_999_999_999));
        assert!(unknown.login.unwrap().variables().iter().all(|(_, value)| value.is_none()));
        let error = Identity::find(Some("3999999999"), None).unwrap_err();
        assert!(matches!(error, IdentityError::NoGroupOfUser { .. }), "{error}");
    }

    #[test]
    fn who_is_not_there_is_named() {
        let error = Identity::find(Some("no-such-user"), None).unwrap_err();
        assert_eq!(error.to_string(), "there is no user \"no-such-user\" (--user); see `getent passwd`");
        let error = Identity::find(None, Some("no-such-group")).unwrap_err();
        assert_eq!(error.to_string(), "there is no group \"no-such-group\" (--group); see `getent group`");
        // As a number it would leave the worker root.
        assert!(matches!(Identity::find(Some("4294967295"), Some("0")), Err(IdentityError::NoUser { .. })));
        assert!(matches!(Identity::find(Some("-1"), Some("0")), Err(IdentityError::NoUser { .. })));
    }
}
