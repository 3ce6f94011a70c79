//! The archive that the kernel unpacks into its first root file system: cpio in the format "newc", as described in
//! the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use std::collections::BTreeSet;
use std::path::Path;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive of directories and files, all root's, and each file as good as a program.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    paths: BTreeSet<String>,
}

impl Archive {
    /// Adds an empty directory, after those above it.
    pub(super) fn directory(&mut self, path: &str) {
        self.parents(path);
        if self.paths.insert(path.to_owned()) {
            self.entry(path, DIRECTORY, 0, &[]);
        }
    }

    /// Adds a file, after the directories above it, unless it is there. Paths have no leading slash; `modified` is in
    /// seconds since 1970.
    pub(super) fn file(&mut self, path: &str, modified: u32, content: &[u8]) {
        self.parents(path);
        if self.paths.insert(path.to_owned()) {
            self.entry(path, PROGRAM, modified, content);
        }
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, 0, &[]);
        self.bytes
    }

    fn parents(&mut self, path: &str) {
        match Path::new(path).parent().and_then(Path::to_str) {
            Some("") | None => {}
            Some(parent) => self.directory(parent),
        }
    }

    fn entry(&mut self, path: &str, mode: u32, modified: u32, content: &[u8]) {
        // Files of the same number would be taken for links to one another.
        self.entries += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let fields = [
            self.entries,
            mode,
            0, // user
            0, // group
            links,
            modified,
            content.len() as u32,
            0, // the device that it lies on, two numbers
            0,
            0, // the device that it is, two numbers
            0,
            path.len() as u32 + 1,
            0, // checksum, which this format leaves out
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn a_file_comes_after_the_directories_above_it_and_each_once() {
        let mut archive = Archive::default();
        archive.file("bin/sub/a", 0, b"12345");
        archive.file("bin/b", 0, b"");
        archive.file("bin/b", 0, b"");
        archive.directory("bin");
        let bytes = archive.finish();
        let text = String::from_utf8(bytes).unwrap();
        let names: Vec<_> =
            text.split("070701").skip(1).map(|entry| entry[104..].split('\0').next().unwrap()).collect();
        assert_eq!(names, ["bin", "bin/sub", "bin/sub/a", "bin/b", "TRAILER!!!"]);
    }

    #[test]
    fn an_entry_is_a_header_a_name_and_a_content_each_padded_to_four() {
        let mut archive = Archive::default();
        archive.file("init", 0x1234, b"12345");
        let bytes = archive.finish();
        let header =
            "070701000000010000 81ed00000000000000000000000100001234000000050000000000000000000000000000000000000\
            00500000000"
                .replace(' ', "");
        assert_eq!(bytes[..110], *header.as_bytes());
        assert_eq!(bytes[110..124], *b"init\0\0\x31\x32\x33\x34\x35\0\0\0");
        assert!(bytes[124..].starts_with(b"070701"));
    }
}
