//! Takes apart the frames that tests wrote into a folder: `seeds FOLDER` reads FOLDER/frame and writes beside it.

use std::path::PathBuf;

use strongroom_fuzz_targets::seeds;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).unwrap_or_default();
    for entry in std::fs::read_dir(folder.join("frame"))? {
        let entry = entry?;
        for (place, (target, seed)) in seeds::of(&std::fs::read(entry.path())?).into_iter().enumerate() {
            let name = format!("{}-{place}", entry.file_name().to_string_lossy());
            std::fs::create_dir_all(folder.join(target))?;
            std::fs::write(folder.join(target).join(name), seed)?;
        }
    }
    Ok(())
}
