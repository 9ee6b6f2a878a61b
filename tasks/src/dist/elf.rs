//! Dependencies of a program at run time, read from its ELF file.

use anyhow::{Context as _, ensure};
use object::{
    Endianness,
    read::elf::{Dyn as _, ElfFile64, ProgramHeader as _},
};

/// Fails if `program` needs a loader or shared libraries. A static program has a dynamic table, too (it relocates
/// itself to a random address), but the table names no library.
pub(super) fn must_be_static(program: &[u8]) -> anyhow::Result<()> {
    let file = ElfFile64::<Endianness>::parse(program).context("it is not a 64-bit ELF program")?;
    let endian = file.endian();
    for header in file.elf_program_headers() {
        let interpreter = header.interpreter(endian, program).context("its interpreter cannot be read")?;
        if let Some(interpreter) = interpreter {
            anyhow::bail!("it needs the loader {}", String::from_utf8_lossy(interpreter));
        }
        let entries = header.dynamic(endian, program).context("its dynamic table cannot be read")?;
        let needed = entries.unwrap_or_default().iter().filter(|entry| entry.d_tag(endian) == object::elf::DT_NEEDED);
        let count = needed.count();
        ensure!(count == 0, "it needs {count} shared libraries");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_not_static_and_texts_are_no_programs() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let error = must_be_static(&this).unwrap_err().to_string();
        assert!(error.starts_with("it needs the loader /lib"), "{error}");
        assert!(must_be_static(b"#!/bin/sh\n").is_err());
    }
}
