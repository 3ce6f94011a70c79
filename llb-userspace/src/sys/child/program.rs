//! What a child runs, laid out beforehand: between clone and exec nothing can be allocated.
#![expect(unsafe_code, reason = "exec takes pointers")]

use std::{
    collections::BTreeMap,
    env,
    ffi::{CString, OsStr, OsString, c_char},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    process::Command,
    ptr,
};

use nix::{errno::Errno, libc};

/// A program with its arguments and environment, and where it runs.
pub(super) struct Program {
    arguments: Strings,
    environment: Strings,
    directory: Option<CString>,
}

impl Program {
    /// What `command` says. Its standard descriptors are not looked at.
    ///
    /// # Errors
    /// If there is a zero byte in it.
    pub(super) fn of(command: &Command) -> io::Result<Self> {
        let mut environment: BTreeMap<OsString, OsString> = env::vars_os().collect();
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => environment.insert(name.to_owned(), value.to_owned()),
                None => environment.remove(name),
            };
        }
        let environment = environment.into_iter().map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            variable
        });
        let arguments = [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_owned);
        let directory = command.get_current_dir().map(|path| CString::new(path.as_os_str().as_bytes()));
        Ok(Self {
            arguments: Strings::of(arguments)?,
            environment: Strings::of(environment)?,
            directory: directory.transpose()?,
        })
    }

    /// Changes into its directory. Async-signal-safe.
    pub(super) fn enter_directory(&self) -> nix::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        // SAFETY: the string ends with a zero.
        Errno::result(unsafe { libc::chdir(directory.as_ptr()) }).map(drop)
    }

    /// Becomes the program, found in our own `PATH`. Returns only why it has not. Allocates nothing.
    pub(super) fn exec(&self) -> Errno {
        // SAFETY: all three live until the call returns, the lists end with a null, and the first string is the program.
        unsafe { libc::execvpe(*self.arguments.list(), self.arguments.list(), self.environment.list()) };
        Errno::last()
    }
}

/// Strings as exec takes them.
struct Strings {
    pointers: Vec<*const c_char>,
    /// What they point to.
    _strings: Vec<CString>,
}

impl Strings {
    fn of(strings: impl Iterator<Item = OsString>) -> io::Result<Self> {
        let strings = strings.map(|string| CString::new(string.into_vec())).collect::<Result<Vec<_>, _>>()?;
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { pointers, _strings: strings })
    }

    /// They are as many as there are, and a null.
    fn list(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}
