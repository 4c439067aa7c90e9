//! What the engines say about one file, and when they are asked: those that can begin while it
//! is being read, the others once it was.

use super::engines::{Bench, Engines};
use super::{Finding, Look, Opened, Said, Subject, Verdict};

/// One engine and one file.
enum Stage<'a> {
    /// It is asked when all of the file was read.
    Waits,
    /// It looks on while the file is being read.
    Looks(Box<dyn Look + 'a>),
    Said(Vec<Said>),
}

/// All engines and one file, in the order of the engines.
pub(super) struct Looks<'a>(Vec<Stage<'a>>);

impl Looks<'_> {
    /// Of no engine, where a file is read for its digest alone.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The next bytes of the file.
    pub fn block(&mut self, bytes: &[u8]) {
        for stage in &mut self.0 {
            if let Stage::Looks(look) = stage {
                look.block(bytes);
            }
        }
    }
}

impl Engines {
    /// Lets every engine begin that can, with all of these files.
    pub(super) fn begin<'a>(&'a self, opened: &[Opened<'a>]) -> Vec<Looks<'a>> {
        let mut looks: Vec<_> = opened.iter().map(|_| Looks::none()).collect();
        for scanner in &self.scanners {
            let mut begun = scanner.begin(opened).into_iter();
            for Looks(stages) in &mut looks {
                stages.push(begun.next().flatten().map_or(Stage::Waits, Stage::Looks));
            }
        }
        looks
    }

    /// Asks those that waited until all of the file was read.
    pub(super) fn ask(&self, Looks(stages): &mut Looks<'_>, subject: &Subject<'_>) {
        for (stage, scanner) in stages.iter_mut().zip(&self.scanners) {
            if matches!(stage, Stage::Waits) {
                *stage = Stage::Said(scanner.explain(subject));
            }
        }
    }

    /// Everything that every engine says, in the order of `bench`.
    pub(super) fn end(
        &self,
        bench: &Bench,
        Looks(stages): Looks<'_>,
        subject: &Subject<'_>,
    ) -> Vec<Finding> {
        let engines = self.scanners.iter().zip(&bench.engines);
        let findings = engines.zip(stages).flat_map(|((scanner, info), stage)| {
            let mut said = match stage {
                Stage::Said(said) => said,
                Stage::Looks(look) => look.end(subject).into_iter().map(Said::from).collect(),
                Stage::Waits => scanner.explain(subject),
            };
            if said.is_empty() {
                said.push(Verdict::error("the engine said nothing").into());
            }
            said.into_iter().map(|Said { verdict, why }| Finding {
                engine: info.name.clone(),
                verdict,
                why,
            })
        });
        findings.collect()
    }
}
