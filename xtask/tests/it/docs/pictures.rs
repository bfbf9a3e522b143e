//! The pictures of the README: the live display and the HTML report of one real build, as SVG text.
//! `DURANGO_PICTURES=docs/images cargo xtask test pictures` draws them anew; without the variable
//! they go to `target/pictures`.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use super::root;
use crate::common::browser::{Browser, Look};
use crate::common::terminal::Terminal;
use crate::common::{COMPOSE, Project};

/// Columns and lines of the terminal.
const SIZE: (u16, u16) = (100, 24);
/// Pixels of the report's page.
const WIDTH: u64 = 900;
/// Pixels of a character and of a line.
const CELL: (f64, f64) = (8.4, 19.0);
const MARGIN: f64 = 12.0;
const BACKGROUND: &str = "#14171a";
const FOREGROUND: &str = "#d7dce0";
/// The eight colors of a terminal.
const COLORS: [&str; 8] =
    ["#5c6670", "#ff6b6b", "#5fd38d", "#e5c07b", "#6cb2ff", "#d19aff", "#5ad4e6", "#f0f3f5"];

/// How a part of a line is drawn.
#[derive(Default, Clone, PartialEq)]
struct Style {
    bold: bool,
    dim: bool,
    color: Option<usize>,
}

impl Style {
    /// Follows the numbers of one escape sequence.
    fn take(&mut self, numbers: &str) {
        for number in numbers.split(';') {
            match number.parse::<usize>().unwrap_or(0) {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                22 => (self.bold, self.dim) = (false, false),
                39 => self.color = None,
                code @ (30..=37 | 90..=97) => self.color = Some(code % 10),
                _ => {}
            }
        }
    }

    fn attributes(&self) -> String {
        let mut text = String::new();
        if self.bold {
            text.push_str(" font-weight=\"bold\"");
        }
        if self.dim {
            text.push_str(" opacity=\"0.65\"");
        }
        if let Some(color) = self.color {
            let _ = write!(text, " fill=\"{}\"", COLORS[color]);
        }
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// One line of a terminal, with its escape sequences, as parts of one look each.
fn parts(line: &str) -> Vec<(Style, String)> {
    let mut look = Style::default();
    let mut parts: Vec<(Style, String)> = Vec::new();
    // Another terminal's character set is not drawn.
    let line = line.replace("\x1b(B", "");
    let mut rest = line.as_str();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("\x1b[") {
            let end = after.find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
            if let Some(numbers) = after[..end].strip_suffix('m') {
                look.take(numbers);
            }
            rest = &after[end..];
            continue;
        }
        let end = rest.find("\x1b[").unwrap_or(rest.len());
        let text: String = rest[..end].chars().filter(|c| !c.is_control()).collect();
        parts.push((look.clone(), text));
        rest = &rest[end..];
    }
    parts
}

/// A screen as SVG.
fn drawing(lines: &[String], columns: u16) -> String {
    let width = f64::from(columns) * CELL.0 + 2.0 * MARGIN;
    let height = lines.len() as f64 * CELL.1 + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"14\" fill=\"{FOREGROUND}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for (at, line) in lines.iter().enumerate() {
        let y = MARGIN + (at as f64 + 0.75) * CELL.1;
        let _ = write!(svg, "<text x=\"{MARGIN:.0}\" y=\"{y:.1}\" xml:space=\"preserve\">");
        for (look, text) in parts(line) {
            let _ = match look.attributes() {
                none if none.is_empty() => write!(svg, "{}", escaped(&text)),
                look => write!(svg, "<tspan{look}>{}</tspan>", escaped(&text)),
            };
        }
        svg.push_str("</text>\n");
    }
    svg + "</svg>\n"
}

/// A page as SVG: its style and its body, at a width that it fits.
fn page_drawing(html: &str, height: u64) -> String {
    let between = |start: &str, end: &str| {
        let rest = html.split_once(start).unwrap_or_else(|| panic!("no `{start}`")).1;
        rest.split_once(end).unwrap_or_else(|| panic!("no `{end}`")).0
    };
    let (style, body) = (between("<style>", "</style>"), between("<body>", "</body>"));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\n\
         <style>{}</style>\n<foreignObject width=\"100%\" height=\"100%\">\n\
         <body xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">{body}</body>\n</foreignObject>\n</svg>\n",
        escaped(style)
    )
}

/// Elements that are not closed, and ends without a start.
fn unbalanced(xml: &str) -> Vec<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut wrong = Vec::new();
    for tag in xml.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or_default();
        if tag.ends_with('/') || tag.starts_with(['!', '?']) {
            continue;
        }
        if !tag.starts_with('/') {
            open.push(name);
        } else if open.pop() != Some(name) {
            wrong.push(format!("</{name}>"));
        }
    }
    wrong.extend(open.iter().map(|name| format!("<{name}>")));
    wrong
}

fn keep(name: &str, svg: &str) {
    assert_eq!(unbalanced(svg), [""; 0], "{name}");
    let dir = std::env::var("DURANGO_PICTURES").map_or_else(|_| PathBuf::from("target/pictures"), Into::into);
    let dir = root().join(dir);
    fs::create_dir_all(&dir).expect("made");
    fs::write(dir.join(name), svg).expect("written");
}

const DOCKERFILE: &str = "ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS vendor
COPY packages work /
RUN --mount=type=cache,id=pictures,target=/cache sh /work install 9 >/installed
FROM ${BASE_IMAGE} AS assets
COPY style work /
RUN sh /work bundle 12 >/bundled
FROM ${BASE_IMAGE}
COPY work /
COPY --from=vendor /installed /
COPY --from=assets /bundled /
RUN sh /work warm 2 >/warmed
";

/// A step that takes a second for each of its parts and names them.
const WORK: &str = "for i in $(seq $2); do echo \"$1 part $i of $2\" >&2; sleep 1; done; date\n";

/// Stages that run at the same time, built once and then edited, so that times are known.
fn shop() -> Project {
    let compose = COMPOSE.replace("durango-test/app", "durango-test/shop").replace("  app:", "  shop:");
    let salt = format!("{} {:?}\n", std::process::id(), std::time::SystemTime::now());
    let files = [
        ("compose.yaml", &*compose),
        ("Dockerfile", DOCKERFILE),
        ("work", WORK),
        ("packages", &salt),
        ("style", &salt),
        (".dockerignore", "*\n!packages\n!style\n!work\n"),
    ];
    let project = Project::new(&files);
    project.owns("durango-test/shop");
    project.run(&["build", "shop"]).succeeds();
    for file in ["packages", "style"] {
        project.write(file, &format!("{salt}edited\n"));
    }
    project
}

#[test]
#[ignore = "needs an engine"]
fn pictures_show_a_real_build() {
    let project = shop();
    let mut terminal = Terminal::start(&project, &["build", "shop"], SIZE);
    terminal.wait("both stages run and the bar knows the time", |lines| {
        let prints = |part: &str| lines.iter().any(|line| line.contains(part));
        prints("install part 3 of 9") && prints("bundle part") && prints("left")
    });
    let screen = terminal.colored();
    terminal.wait("the end", |lines| lines.iter().any(|line| line.contains("ended with 0")));
    let shown: Vec<String> =
        screen.into_iter().filter(|line| !line.contains("before ") && !line.is_empty()).collect();
    assert!(shown.iter().any(|line| line.contains("\x1b[")), "colors are recorded: {shown:?}");
    keep("live.svg", &drawing(&shown, SIZE.0));

    project.run(&["report", "--output", "report.html"]).succeeds();
    let file = project.path("report.html");
    let look = Look { width: WIDTH, dark: false };
    let height = Browser::find().probe(&file, look)["height"].as_u64().expect("a height");
    let html = fs::read_to_string(file).expect("the page");
    let html = html.replace(&project.store().display().to_string(), "~/.cache/durango-builder");
    keep("report.svg", &page_drawing(&html, height));
}

#[test]
fn the_pictures_of_the_readme_are_text_and_whole() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let names = readme.split("](docs/images/").skip(1).filter_map(|rest| rest.split(')').next());
    let names: Vec<&str> = names.collect();
    assert_eq!(names, ["live.svg", "report.svg"]);
    for (name, shown) in names.into_iter().zip(["vendor: RUN sh", "<h1>shop</h1>"]) {
        let svg = fs::read_to_string(root().join("docs/images").join(name)).expect("a picture");
        assert!(svg.starts_with("<svg xmlns=") && svg.len() < 100_000, "{name}: {} bytes", svg.len());
        assert_eq!(unbalanced(&svg), [""; 0], "{name}");
        assert!(svg.contains(shown), "{name} shows the build");
    }
}

#[test]
fn colors_and_markup_of_a_screen_are_drawn() {
    let lines =
        ["\x1b[1m 0:03 of 0:09\x1b[0m a < b & c".to_owned(), "\x1b[32m✓\x1b[39m done\x1b(B".to_owned()];
    let svg = drawing(&lines, 40);
    assert!(
        svg.contains("<tspan font-weight=\"bold\"> 0:03 of 0:09</tspan> a &lt; b &amp; c</text>"),
        "{svg}"
    );
    assert!(svg.contains(&format!("<tspan fill=\"{}\">✓</tspan> done", COLORS[2])), "{svg}");
    assert_eq!(unbalanced(&svg), [""; 0]);
    assert_eq!(unbalanced("<a><b></a></b><c/><!-- x -->"), ["</a>", "</b>"]);
    assert_eq!(unbalanced("<a><br>"), ["<a>", "<br>"]);
}
