//! Where programs and maps are pinned, so that the next master finds them when this one has died.
//!
//! A fleet has a directory of its own in a BPF file system: in the one at `/sys/fs/bpf` if that is mounted and ours,
//! otherwise in one that is mounted for this fleet alone, in its runtime directory.

mod place;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf,
    maps::{Map, MapData},
    pin::PinError,
    programs::{ProgramInfo, SkReuseport, sk_reuseport::SkReuseportAttachType},
};
use llb_common::names;

use self::place::{OWN_MOUNT, SHARED, is_ours, make_own, make_shared, places};
use super::{
    KernelError,
    error::map_error,
    object::{MAPS, Maps},
    steering::Logger,
};
use crate::sys::bpffs;

/// The programs that the next master needs: to attach to groups that are new, and to find what all of them log.
const PROGRAMS: [&str; 3] = [names::STEER, names::FLOW, names::SOCKOPS];

/// Why nothing can be pinned.
///
/// ```no_run
/// use std::path::Path;
/// use llb::kernel::{Pins, PinsError};
///
/// /// Without pins llb does its work; only the next master cannot go on with it.
/// fn pins() -> Option<Pins> {
///     let warn = |error: PinsError| eprintln!("{error}");
///     Pins::make(Path::new("/run/web"), "web-1").map_err(warn).ok()
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{SHARED} is {shared}, and no BPF file system can be mounted at {}: {source}", at.display())]
pub struct PinsError {
    shared: &'static str,
    at: PathBuf,
    source: io::Error,
}

/// A fleet's pins. Removed when dropped; the programs and maps live on as long as somebody uses them.
///
/// A master pins what it loads, and if it is killed the next one goes on with that: the workers' listeners, which have stayed
/// in their groups, are taken in anew.
///
/// ```no_run
/// use std::path::Path;
/// use llb::kernel::{Options, Pins, Steering};
///
/// fn load_or_reopen(runtime_dir: &Path) -> Result<(Steering, Pins), Box<dyn std::error::Error>> {
///     // Those of fleets that are gone are in nobody's way, but in the kernel's memory.
///     Pins::sweep(runtime_dir, |key| key.starts_with("web-") && key != "web-1");
///     let Some(pins) = Pins::find(runtime_dir, "web-1") else {
///         let pins = Pins::make(runtime_dir, "web-1")?;
///         if pins.are_mounted() {
///             println!("pinned below {}", runtime_dir.display());
///         }
///         let options = Options { cgroup_level: None, limits: Vec::new(), keeps_books: true, sticky: None };
///         return Ok((Steering::load_pinned(&options, &pins)?, pins));
///     };
///     // What is in the groups is found in the maps.
///     let mut steering = Steering::reopen(&pins, true)?;
///     assert!(steering.keeps_books());
///     // What they tell of has happened.
///     steering.discard_events();
///     Ok((steering, pins))
/// }
/// ```
#[derive(Debug)]
pub struct Pins {
    directory: PathBuf,
    /// The file system that was mounted for them.
    mount: Option<PathBuf>,
}

impl Pins {
    /// Makes a place without pins. `key` is part of a path in a BPF file system, which allows no dots.
    ///
    /// # Errors
    /// [`PinsError`] if there is no BPF file system to be had.
    pub fn make(runtime_dir: &Path, key: &str) -> Result<Self, PinsError> {
        // What an earlier fleet has left there is nobody's any more.
        drop(Self::find(runtime_dir, key));
        let shared = match make_shared(key) {
            Ok(directory) => return Ok(Pins { directory, mount: None }),
            Err(why) => why,
        };
        let at = runtime_dir.join(OWN_MOUNT);
        match make_own(&at, key) {
            Ok(directory) => Ok(Pins { directory, mount: Some(at) }),
            Err(source) => {
                let _ = fs::remove_dir(&at);
                Err(PinsError { shared, at, source })
            }
        }
    }

    /// Removes the pins of fleets that are gone, wherever they lie: of keys that `is_gone`.
    pub fn sweep(runtime_dir: &Path, is_gone: impl Fn(&str) -> bool) {
        for (directory, mount) in places(runtime_dir) {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if entry.file_name().to_str().is_some_and(&is_gone) && is_ours(&entry.path()) {
                    drop(Pins { directory: entry.path(), mount: mount.clone() });
                }
            }
        }
    }

    /// The place that an earlier master has made, if it is there and nobody else's.
    #[must_use]
    pub fn find(runtime_dir: &Path, key: &str) -> Option<Self> {
        let places = places(runtime_dir).map(|(directory, mount)| (directory.join(key), mount));
        let (directory, mount) = places.into_iter().find(|(directory, _)| is_ours(directory))?;
        Some(Pins { directory, mount })
    }

    /// Whether a file system was mounted for them.
    #[must_use]
    pub fn are_mounted(&self) -> bool {
        self.mount.is_some()
    }

    /// Pins the maps, and the programs that the next master needs.
    pub(super) fn pin(&self, maps: &Maps, ebpf: &mut Ebpf) -> Result<(), KernelError> {
        for (&name, map) in maps {
            map.pin(self.directory.join(name)).map_err(|source| pin_error(name, source))?;
        }
        for name in PROGRAMS {
            let program = ebpf.program_mut(name).ok_or(KernelError::Missing { what: "program", name })?;
            program.pin(self.directory.join(name)).map_err(|source| pin_error(name, source))?;
        }
        Ok(())
    }

    /// Opens what is pinned: the maps, the selectors for TCP and for UDP, and what the programs say.
    pub(super) fn open(&self) -> Result<(Maps, [SkReuseport; 2], Option<Logger>), KernelError> {
        let open = |name| {
            let map = MapData::from_pin(self.directory.join(name)).and_then(Map::from_map_data);
            map.map(|map| (name, map)).map_err(map_error(name))
        };
        let maps = MAPS.into_iter().map(open).collect::<Result<Maps, KernelError>>()?;
        let selector = |name, attach_type| {
            let selector = SkReuseport::from_pin(self.directory.join(name), attach_type);
            selector.map_err(|source| KernelError::Reopen { name, source: Box::new(source) })
        };
        let steer = selector(names::STEER, SkReuseportAttachType::SelectOrMigrate)?;
        let flow = selector(names::FLOW, SkReuseportAttachType::Select)?;
        // Programs are looked up by number only with CAP_SYS_ADMIN. Without it their words are not heard.
        let talker = ProgramInfo::from_pin(self.directory.join(names::SOCKOPS)).ok();
        let logger = talker.and_then(|program| aya_log::EbpfLogger::init_from_id(program.id()).ok());
        Ok((maps, [steer, flow], logger))
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let cleared = remove_pins(&self.directory).and_then(|()| match &self.mount {
            Some(at) => bpffs::unmount(at).and_then(|()| fs::remove_dir(at)),
            None => {
                // Full as long as another fleet has its pins there.
                let _ = self.directory.parent().map(fs::remove_dir);
                Ok(())
            }
        });
        if let Err(error) = cleared {
            tracing::warn!(%error, directory = %self.directory.display(), "cannot remove the fleet's pins");
        }
    }
}

fn pin_error(name: &'static str, source: PinError) -> KernelError {
    KernelError::Pin { name, source: Box::new(source) }
}

fn remove_pins(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        fs::remove_file(entry?.path())?;
    }
    fs::remove_dir(directory)
}
