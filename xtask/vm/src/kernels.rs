//! Debian's kernels for virtual machines: small, with BTF, and with all that llb needs built in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use llb_kit::apt;

const PREFIX: &str = "linux-image-";
const SUFFIX: &str = "-cloud-amd64";

/// Which build of a series.
#[derive(Clone, Copy)]
pub(super) enum Age {
    Oldest,
    Newest,
}

/// A kernel to boot.
pub(super) struct Kernel {
    /// As `uname -r` has it.
    pub release: String,
    pub image: PathBuf,
}

impl Kernel {
    /// Whether it is of this release, or of one that begins so.
    pub(super) fn is(&self, release: &str) -> bool {
        self.release.strip_prefix(release).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}

/// A kernel of a series that apt knows, from the cache if it is there already.
pub(super) fn provide(series: &str, age: Age, cache: &Path) -> Result<Kernel> {
    find_and_fetch(series, age, cache).or_else(|error| {
        // The lists may be absent, or name a version that the archive has replaced.
        eprintln!("{error:#}; fetching the lists of packages");
        apt::update().context("the kernels come from Debian's archive; run `sudo apt-get update` there")?;
        find_and_fetch(series, age, cache)
    })
}

fn find_and_fetch(series: &str, age: Age, cache: &Path) -> Result<Kernel> {
    let names = apt::names(&format!("^{PREFIX}{series}\\."))?;
    let release = pick(series, age, &names).with_context(|| {
        format!(
            "apt knows no {PREFIX}{series}.*{SUFFIX}; have the lists of Debian 12 (bookworm and bookworm-security) \
             in /etc/apt/sources.list.d"
        )
    })?;
    let image = fetch(&format!("{PREFIX}{release}"), &format!("boot/vmlinuz-{release}"), cache)?;
    Ok(Kernel { release: release.to_owned(), image })
}

/// One file of a package, kept in the cache by its own name.
pub(super) fn fetch(package: &str, file: &str, cache: &Path) -> Result<PathBuf> {
    let kept = cache.join(Path::new(file).file_name().context("a package's file has a name")?);
    if kept.exists() {
        return Ok(kept);
    }
    println!("downloading {package}");
    let unpacked = cache.join("unpacked");
    // An interrupted run may have left it.
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).with_context(|| format!("cannot empty {}", unpacked.display()))?;
    }
    fs::create_dir_all(&unpacked).with_context(|| format!("cannot make {}", unpacked.display()))?;
    apt::unpack(package, &unpacked).with_context(|| format!("cannot download {package}"))?;
    // Debian 13 moved what was in /bin.
    let places = [unpacked.join(file), unpacked.join("usr").join(file)];
    let place = places.iter().find(|place| place.exists()).with_context(|| format!("{package} has no /{file}"))?;
    fs::rename(place, &kept).with_context(|| format!("cannot move {} to {}", place.display(), kept.display()))?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))?;
    Ok(kept)
}

/// The oldest or newest release of a series among the names of packages.
fn pick<'a>(series: &str, age: Age, names: &'a [String]) -> Option<&'a str> {
    let releases = names.iter().filter_map(|name| name.strip_prefix(PREFIX)).filter(|release| {
        // Not the packages of symbols or of unsigned images, which end otherwise, nor the metapackage.
        release.ends_with(SUFFIX) && release.strip_prefix(series).is_some_and(|rest| rest.starts_with('.'))
    });
    match age {
        Age::Oldest => releases.min_by_key(|release| numbers(release)),
        Age::Newest => releases.max_by_key(|release| numbers(release)),
    }
}

/// The numbers in a release, which order it among those of its series.
fn numbers(release: &str) -> Vec<u32> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_of_its_series_and_of_no_other() {
        let kernel = Kernel { release: "6.12.117+deb12-cloud-amd64".into(), image: PathBuf::new() };
        assert!(kernel.is("6.12") && kernel.is("6.12.117") && !kernel.is("6.1"));
    }

    #[test]
    fn the_oldest_or_newest_of_the_series_is_taken() {
        let names = [
            "linux-image-6.12-cloud-amd64",
            "linux-image-6.12.100+deb12-cloud-amd64",
            "linux-image-6.12.99+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-amd64-dbg",
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-48-cloud-amd64",
        ]
        .map(String::from);
        assert_eq!(pick("6.12", Age::Newest, &names), Some("6.12.100+deb12-cloud-amd64"));
        assert_eq!(pick("6.1", Age::Newest, &names), Some("6.1.0-48-cloud-amd64"));
        assert_eq!(pick("6.1", Age::Oldest, &names), Some("6.1.0-9-cloud-amd64"));
        assert_eq!(pick("6.6", Age::Newest, &names), None);
    }
}
