//! A rule of Windows' firewall: `v2.30|Action=Allow|Active=TRUE|Dir=In|Protocol=17|LPort=319|App=C:\…|Name=…|`.

/// The number of UDP.
const UDP: &str = "17";

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To this computer.
    In,
    /// From it.
    Out,
}

/// A UDP packet of a program of this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Which way.
    pub direction: Direction,
    /// The port here; nothing where the system chooses it.
    pub local: Option<u16>,
    /// The port there; nothing where it may be any.
    pub remote: Option<u16>,
    /// The program's file.
    pub program: &'a str,
}

/// Whether a rule is meant for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is.
    Surely,
    /// By conditions that are not understood here.
    Perhaps,
    /// It is not.
    No,
}

/// A rule that is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name for commands.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// It allows; else it blocks.
    pub allows: bool,
    /// This computer's own, and not a policy's.
    pub own: bool,
    direction: Direction,
    /// Words for kinds of networks; all where none is named.
    profiles: Vec<String>,
    udp: bool,
    local: Vec<String>,
    remote: Vec<String>,
    program: Option<String>,
    /// It has conditions that are not understood here.
    conditional: bool,
}

impl Rule {
    /// Reads a rule; nothing if it is not active, or none at all.
    pub fn parse(id: &str, text: &str, own: bool) -> Option<Self> {
        let mut fields = text.split('|').filter(|field| !field.is_empty());
        fields.next().filter(|version| version.starts_with('v'))?;
        let mut rule = Self {
            id: id.to_owned(),
            name: id.to_owned(),
            allows: false,
            own,
            direction: Direction::In,
            profiles: Vec::new(),
            udp: true,
            local: Vec::new(),
            remote: Vec::new(),
            program: None,
            conditional: false,
        };
        let mut active = false;
        for field in fields {
            let (key, value) = field.split_once('=')?;
            match key {
                "Action" => rule.allows = value == "Allow",
                "Active" => active = value.eq_ignore_ascii_case("true"),
                "Dir" => rule.direction = if value == "Out" { Direction::Out } else { Direction::In },
                "Protocol" => rule.udp = value == UDP,
                "Profile" => rule.profiles.push(value.to_owned()),
                "LPort" | "LPort2_10" | "LPort2_20" | "LPort2_24" => rule.local.push(value.to_owned()),
                "RPort" | "RPort2_10" | "RPort2_24" => rule.remote.push(value.to_owned()),
                "App" => rule.program = Some(value.to_owned()),
                "Name" => rule.name = value.to_owned(),
                // A rule for a service, or for any one.
                "Svc" if value == "*" || value.eq_ignore_ascii_case("dantetimesync") => {}
                // What is said of a rule, and what only matters to others.
                "Desc" | "EmbedCtxt" | "Edge" | "Defer" | "LUOwn" | "TTK" => {}
                _ => rule.conditional = true,
            }
        }
        active.then_some(rule)
    }

    /// Whether it counts in a kind of network.
    pub fn is_of(&self, profile: &str) -> bool {
        self.profiles.is_empty() || self.profiles.iter().any(|own| own == profile)
    }

    /// Whether it is meant for a packet.
    pub fn fit(&self, packet: &Packet) -> Fit {
        let program = |own: &String| expanded(own).eq_ignore_ascii_case(packet.program);
        let sure = self.udp
            && self.direction == packet.direction
            && self.program.as_ref().is_none_or(program)
            && holds(&self.local, packet.local)
            && holds(&self.remote, packet.remote);
        match (sure, self.conditional) {
            (false, _) => Fit::No,
            (true, true) => Fit::Perhaps,
            (true, false) => Fit::Surely,
        }
    }
}

/// Whether ports (`319`, `319-320`, or words for services of Windows) hold this one; where none is named, all do.
fn holds(ports: &[String], port: Option<u16>) -> bool {
    let holds = |text: &String, port: u16| {
        let number = |text: &str| text.trim().parse::<u16>().ok();
        match text.split_once('-') {
            Some((first, last)) => {
                number(first).is_some_and(|first| first <= port)
                    && number(last).is_some_and(|last| port <= last)
            }
            None => number(text) == Some(port),
        }
    };
    ports.is_empty() || port.is_some_and(|port| ports.iter().any(|text| holds(text, port)))
}

/// With the folder that a variable at the head of a path stands for.
fn expanded(path: &str) -> String {
    let variables =
        [("%ProgramFiles%", r"C:\Program Files"), ("%SystemDrive%", "C:"), ("%SystemRoot%", r"C:\Windows")];
    let known = variables.iter().find_map(|(variable, folder)| {
        let head = path.get(..variable.len())?;
        head.eq_ignore_ascii_case(variable).then(|| path.replacen(head, folder, 1))
    });
    known.unwrap_or_else(|| path.to_owned())
}
