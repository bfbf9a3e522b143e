//! Random edits of everything that a build is made of, and of what it is not.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::super::random::Random;
use super::project::Project;

/// An edit that was made.
pub(super) struct Edit {
    pub(super) what: String,
    /// Whether it changes nothing that a build is made of.
    pub(super) is_idle: bool,
}

/// Files that edits are made of.
const FILES: &[&str] = &["app/src/a.txt", "app/src/deep/b.txt", "app/README", "extra/e.txt", "lower/l.txt"];
/// Directories of contexts.
const DIRECTORIES: &[&str] = &["app/src", "app/src/deep"];

type Change = fn(&mut Project, &str, &mut Random) -> Result<()>;

/// Edits that leave a build what it was: BuildKit need not be asked.
const IDLE: &[(&str, Change)] = &[
    ("nothing", |_, _, _| Ok(())),
    ("the time of a file", |project, file, _| touch(&project.path(file))),
    ("the time of a directory", |project, _, random| touch(&project.path(random.of(DIRECTORIES)))),
    ("the times of all files", |project, _, _| FILES.iter().try_for_each(|file| touch(&project.path(file)))),
    ("a file written again as it was", |project, file, _| {
        let path = project.path(file);
        Ok(fs::write(&path, fs::read(&path)?)?)
    }),
    ("a file replaced by its copy", |project, file, _| {
        let (path, copy) = (project.path(file), project.path("copy"));
        let mut command = std::process::Command::new("cp");
        run_command(command.arg("--archive").arg(&path).arg(&copy))?;
        Ok(fs::rename(copy, path)?)
    }),
    ("a file renamed and renamed back", |project, file, _| {
        let (path, away) = (project.path(file), project.path("away"));
        fs::rename(&path, &away)?;
        Ok(fs::rename(away, path)?)
    }),
    ("an ignored file", |project, _, _| project.write("app/ignored.log", &project.stamp())),
    ("a new ignored file", |project, _, _| {
        project.write(&format!("app/{}.log", project.edits), &project.stamp())
    }),
    ("a file outside of the contexts", |project, _, _| project.write("notes", &project.stamp())),
    ("the mask of new files", |project, _, random| {
        project.umask = if random.once_in(2) { "077" } else { "002" };
        Ok(())
    }),
    ("a variable that nobody reads", |project, _, _| {
        project.env.insert("UNRELATED", project.stamp());
        Ok(())
    }),
    ("the base tagged again as it was", |project, _, _| {
        let base = project.base();
        project.docker(&["tag", &base, &base])
    }),
    ("another name of an image", |project, _, _| {
        let name = |tag| format!("{}/{tag}", project.name);
        project.docker(&["tag", &name("lower"), &name("lower:kept")])
    }),
];

/// Edits that may change what BuildKit makes.
const CHANGES: &[(&str, Change)] = &[
    ("content", |project, file, _| project.write(file, &project.stamp())),
    ("content of the same size and time", |project, file, _| {
        let path = project.path(file);
        let (time, mut text) = (fs::metadata(&path)?.modified()?, fs::read(&path)?);
        let first = text.first_mut().context("an empty file")?;
        *first = if *first == b'x' { b'y' } else { b'x' };
        fs::write(&path, text)?;
        Ok(File::options().append(true).open(&path)?.set_modified(time)?)
    }),
    ("the mode of a file", |project, file, _| flip(&project.path(file), 0o111)),
    ("the mode of a directory", |project, _, random| flip(&project.path(random.of(DIRECTORIES)), 0o050)),
    ("an extended attribute", |project, file, _| {
        let value = project.stamp();
        let flags = rustix::fs::XattrFlags::empty();
        match rustix::fs::setxattr(project.path(file), "user.durango", value.as_bytes(), flags) {
            Err(rustix::io::Errno::NOTSUP) => Ok(()),
            set => Ok(set?),
        }
    }),
    ("where a link leads", |project, _, random| {
        fs::remove_file(project.path("app/link"))?;
        Ok(symlink(random.of(&["src/a.txt", "README", "nowhere"]), project.path("app/link"))?)
    }),
    ("a file that became a link, or one again", |project, _, _| {
        let path = project.path("app/README");
        let is_link = path.is_symlink();
        fs::remove_file(&path)?;
        if is_link { project.write("app/README", "readme\n") } else { Ok(symlink("src/a.txt", path)?) }
    }),
    ("a file that came or went", |project, _, _| {
        let path = project.path("app/src/coming");
        if path.exists() { Ok(fs::remove_file(path)?) } else { project.write("app/src/coming", "here\n") }
    }),
    ("a file renamed", |project, _, _| {
        let (one, other) = (project.path("app/src/one"), project.path("app/src/other"));
        if other.exists() {
            return Ok(fs::rename(other, one)?);
        }
        project.write("app/src/one", "renamed\n")?;
        Ok(fs::rename(one, other)?)
    }),
    ("an empty directory that came or went", |project, _, _| {
        let path = project.path("app/empty");
        if path.exists() { Ok(fs::remove_dir(path)?) } else { Ok(fs::create_dir(path)?) }
    }),
    ("the ignore file", |project, _, random| {
        let pattern = random.of(&["README", "src/deep", "!src/deep", "*.txt", "# other words"]);
        project.write("app/.dockerignore", &format!("*.log\n{}\n!src/a.txt\n", pattern))
    }),
    ("an ignore file of the Dockerfile's own", |project, _, _| {
        let path = project.path("app/Dockerfile.dockerignore");
        let text = "*.log\nREADME\n";
        if path.exists() { Ok(fs::remove_file(path)?) } else { Ok(fs::write(path, text)?) }
    }),
    ("a comment in the Dockerfile", |project, _, _| {
        let text = fs::read_to_string(project.path("app/Dockerfile"))?;
        project.write("app/Dockerfile", &format!("{text}# {}\n", project.stamp()))
    }),
    ("an instruction of the Dockerfile", |project, _, _| {
        let text = fs::read_to_string(project.path("app/Dockerfile"))?;
        let text = match text.strip_suffix("ENV ADDED=1\n") {
            Some(before) => before.to_owned(),
            None => text + "ENV ADDED=1\n",
        };
        project.write("app/Dockerfile", &text)
    }),
    ("a variable that an argument comes from", |project, _, random| {
        if random.once_in(3) {
            project.env.remove("FROM_ENV");
        } else {
            project.env.insert("FROM_ENV", random.of(&["one", "two"]).to_owned());
        }
        Ok(())
    }),
    (".env", |project, _, random| {
        project.write(".env", &format!("FROM_FILE={}\n", random.of(&["one", "two", "three"])))
    }),
    ("a comment in .env", |project, _, _| {
        let text = fs::read_to_string(project.path(".env"))?;
        project.write(".env", &format!("# {}\n{text}", project.edits))
    }),
    ("a comment in the declaration", |project, _, _| {
        let text = fs::read_to_string(project.path("compose.yaml"))?;
        project.write("compose.yaml", &format!("# {}\n{text}", project.edits))
    }),
    ("a second file of the declaration", |project, _, _| {
        let file = project.path("override.yaml").display().to_string();
        toggle(&mut project.options, &["--file", &file]);
        Ok(())
    }),
    ("the content of a second file", |project, _, random| {
        let value = random.of(&["two", "three"]);
        project.write(
            "override.yaml",
            &format!("services:\n  app:\n    build:\n      args:\n        FIXED: {value}\n"),
        )
    }),
    ("an argument of the command line", |project, _, _| {
        toggle(&mut project.options, &["--build-arg", "FIXED=four"]);
        Ok(())
    }),
    ("a label", |project, _, _| {
        toggle(&mut project.options, &["--set", "app.labels.added=1"]);
        Ok(())
    }),
    ("another tag", |project, _, _| {
        let tag = format!("{}/app:2", project.name);
        toggle(&mut project.options, &["--tag", &tag]);
        Ok(())
    }),
    // Its words are redacted wherever they stand, in names of images as well.
    ("the secret", |project, _, _| project.write("token", &format!("t0ken{}\n", project.edits))),
    ("another base image", |project, _, random| project.tag_base(random.below(2))),
    ("the image removed", |project, _, _| {
        project.docker(&["image", "rm", "--force", &format!("{}/app", project.name)])
    }),
    ("the lower image removed", |project, _, _| {
        project.docker(&["image", "rm", "--force", &format!("{}/lower", project.name)])
    }),
    ("the image's name given to another", |project, _, _| {
        project.docker(&["tag", &project.bases[1], &format!("{}/app", project.name)])
    }),
];

/// Makes a random edit; of three, two change nothing.
pub(super) fn edit(project: &mut Project, random: &mut Random) -> Result<Edit> {
    project.edits += 1;
    let is_idle = !random.once_in(3);
    let list = if is_idle { IDLE } else { CHANGES };
    let (what, change) = list[random.below(list.len())];
    let file = random.of(FILES).to_owned();
    // The base may be gone with the image that it was.
    change(project, &file, random).with_context(|| format!("failed to edit: {what} ({file})"))?;
    Ok(Edit { what: format!("{what} ({file})"), is_idle })
}

impl Project {
    /// Text that no other edit has.
    fn stamp(&self) -> String {
        format!("{} {}\n", self.name, self.edits)
    }
}

fn run_command(command: &mut std::process::Command) -> Result<()> {
    anyhow::ensure!(command.status()?.success(), "`{command:?}` failed");
    Ok(())
}

fn touch(path: &Path) -> Result<()> {
    let time = SystemTime::now() - Duration::from_secs(100);
    Ok(File::open(path)?.set_modified(time)?)
}

fn flip(path: &Path, bits: u32) -> Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    Ok(fs::set_permissions(path, Permissions::from_mode(mode ^ bits))?)
}

/// Adds two options, or takes them away.
fn toggle(options: &mut Vec<String>, words: &[&str; 2]) {
    match options.windows(2).position(|pair| pair == words) {
        Some(at) => drop(options.drain(at..at + 2)),
        None => options.extend(words.map(str::to_owned)),
    }
}
