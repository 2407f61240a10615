//! A process as the evaluator of a network: lines of JSON on its standard input and output.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use campaign::{EvaluationError, EvaluatorSection, ModelSection, Outputs, WeightsForm};
use graph::WeightChange;
use quant::{Checkpoint, TensorFile, WeightsAs};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::OwnEvaluator;

/// Version of the protocol if trials see all images.
const PROTOCOL: u32 = 1;

/// Version of the protocol if each trial names the images that it sees.
const PROTOCOL_WITH_BLOCKS: u32 = 2;

/// Longest answer, in bytes.
const LONGEST_ANSWER: u64 = 256 << 20;

/// Bytes of an answer that a message quotes.
const QUOTED: usize = 120;

/// Times that a process is looked at before it is killed, and the pause between them: it may end by itself.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// A running process that evaluates one network.
#[derive(Debug)]
pub(crate) struct ProcessEvaluator {
    command: String,
    child: Child,
    /// Lines for its standard input, which a thread writes; `None` closes it.
    questions: Option<Sender<Vec<u8>>>,
    /// Lines of its standard output, which a thread reads.
    answers: Receiver<Vec<u8>>,
    timeout: Duration,
    metrics: Vec<String>,
    tensors: TensorFile,
    form: WeightsForm,
    /// File of a trial's weights; `None` if the process gets changes.
    file: Option<NamedTempFile>,
}

#[derive(Serialize)]
struct Header<'a> {
    zerospace_evaluator: u32,
    network: &'a str,
    checkpoint: &'a Path,
    weights: &'static str,
    metrics: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    images_per_trial: Option<u64>,
    tensors: Vec<TensorHeader<'a>>,
}

#[derive(Serialize)]
struct TensorHeader<'a> {
    name: &'a str,
    shape: &'a [usize],
    /// One for the tensor, or one for each output channel.
    levels_per_unit: Vec<f32>,
}

#[derive(Serialize)]
struct Question<'a> {
    /// `null` without faults.
    trial: Option<u64>,
    /// Indices of the images; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<&'a [u32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<BTreeMap<&'a str, Vec<(usize, i8)>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ready {
    ready: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scores {
    scores: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Predictions {
    predictions: Vec<u16>,
}

impl ProcessEvaluator {
    /// Starts the process of a network in a folder, and waits until it is ready. `blocks` is the number of images of a trial, if it
    /// does not see all.
    pub(crate) fn start(
        section: &EvaluatorSection,
        words: &[String],
        folder: &Path,
        (model, checkpoint): (&ModelSection, &Checkpoint),
        blocks: Option<u64>,
    ) -> anyhow::Result<Self> {
        let command = words.join(" ");
        let place = || format!("evaluator `{command}`");
        let program = &words[0];
        let program = match program.contains('/') {
            true => std::path::absolute(folder.join(program)).with_context(place)?.into_os_string(),
            false => program.into(),
        };
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut child = Command::new(program)
            .args(&words[1..])
            .current_dir(here)
            // A signal from the terminal is for this program, which ends the process after its trial.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("{} cannot be started", place()))?;
        let mut input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        let (questions, lines) = channel::<Vec<u8>>();
        thread::spawn(move || {
            // A process that does not read any more is noticed by its missing answer.
            while lines.recv().is_ok_and(|line| input.write_all(&line).and_then(|()| input.flush()).is_ok()) {
            }
        });
        let (sender, answers) = channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            loop {
                let mut line = Vec::new();
                let read = output.by_ref().take(LONGEST_ANSWER).read_until(b'\n', &mut line);
                if !read.is_ok_and(|bytes| bytes > 0) || sender.send(line).is_err() {
                    return;
                }
            }
        });
        let file = match section.weights {
            WeightsForm::Changes => None,
            WeightsForm::File | WeightsForm::FileFloat => Some(
                NamedTempFile::with_suffix(".safetensors").context("a file for the weights of a trial")?,
            ),
        };
        let mut started = Self {
            command,
            child,
            questions: Some(questions),
            answers,
            timeout: Duration::from_secs(section.timeout_s),
            metrics: section.metrics.iter().map(|metric| metric.name.clone()).collect(),
            tensors: TensorFile::of_checkpoint(checkpoint),
            form: section.weights,
            file,
        };
        started
            .greet(&model.label, &std::path::absolute(&model.checkpoint)?, blocks)
            .map_err(|wrong| anyhow!(wrong))?;
        Ok(started)
    }

    /// Sends the header and waits for `{"ready": true}`.
    fn greet(&mut self, label: &str, checkpoint: &Path, blocks: Option<u64>) -> Result<(), String> {
        let tensors = self.tensors.tensors().iter().map(|tensor| TensorHeader {
            name: &tensor.name,
            shape: &tensor.shape,
            levels_per_unit: tensor
                .scale
                .iter()
                .flat_map(|scale| scale.values().iter().map(|scale| scale.get()))
                .collect(),
        });
        let header = Header {
            zerospace_evaluator: if blocks.is_some() { PROTOCOL_WITH_BLOCKS } else { PROTOCOL },
            network: label,
            checkpoint,
            weights: match self.form {
                WeightsForm::Changes => "changes",
                WeightsForm::File => "file",
                WeightsForm::FileFloat => "file-float",
            },
            metrics: &self.metrics,
            images_per_trial: blocks,
            tensors: tensors.collect(),
        };
        let expected = "{\"ready\": true} after the first line";
        let header = line(&header);
        let answer = self.ask(header, expected)?;
        match serde_json::from_slice(&answer) {
            Ok(Ready { ready: true }) => Ok(()),
            _ => Err(self.unexpected(&answer, expected)),
        }
    }

    /// Sends a line and waits for the answer.
    fn ask(&mut self, question: Vec<u8>, expected: &str) -> Result<Vec<u8>, String> {
        // If the thread has ended, so has the process.
        let _ = self.questions.as_ref().expect("open until it is dropped").send(question);
        self.answers.recv_timeout(self.timeout).map_err(|error| {
            let command = self.command.clone();
            match error {
                RecvTimeoutError::Timeout => format!(
                    "evaluator `{command}` gave no answer in {} s (`evaluator.timeout_s`), expected {expected}",
                    self.timeout.as_secs()
                ),
                RecvTimeoutError::Disconnected => {
                    format!("evaluator `{command}` ended{}, expected {expected}", self.exit())
                }
            }
        })
    }

    /// Text of the exit status, if the process has ended.
    fn exit(&mut self) -> String {
        for _ in 0..LOOKS {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!(" with {status}"),
                Ok(None) => thread::sleep(PAUSE),
                Err(_) => break,
            }
        }
        String::new()
    }

    fn unexpected(&self, answer: &[u8], expected: &str) -> String {
        let text = String::from_utf8_lossy(answer);
        let text = text.trim_end();
        let quoted: String = text.chars().take(QUOTED).collect();
        let more = if quoted.len() < text.len() { "..." } else { "" };
        format!("evaluator `{}` answered `{quoted}{more}`, expected {expected}", self.command)
    }
}

impl OwnEvaluator for ProcessEvaluator {
    fn outputs(
        &mut self,
        trial: Option<u64>,
        changes: &[WeightChange],
        images: Option<&[u32]>,
    ) -> Result<Outputs, EvaluationError> {
        let failed = |message: String| EvaluationError::new(trial, message);
        let expected = match &self.metrics[..] {
            [] => "{\"predictions\": [CLASS, ...]}".into(),
            names => {
                let names: Vec<String> = names.iter().map(|name| format!("{name:?}: NUMBER")).collect();
                format!("{{\"scores\": {{{}}}}}", names.join(", "))
            }
        };
        if let Some(file) = &mut self.file {
            let form = if self.form == WeightsForm::File { WeightsAs::Int8 } else { WeightsAs::Float };
            let bytes =
                self.tensors.with_changes(changes, form).map_err(|error| failed(error.to_string()))?;
            std::fs::write(file.path(), bytes)
                .map_err(|error| failed(format!("{}: {error}", file.path().display())))?;
        }
        let mut listed: BTreeMap<&str, Vec<(usize, i8)>> = BTreeMap::new();
        let file = self.file.as_ref().map(NamedTempFile::path);
        if file.is_none() {
            for change in changes {
                let name = &self.tensors.tensors()[change.tensor].name;
                listed.entry(name).or_default().push((change.index, change.value));
            }
        }
        let question = line(&Question { trial, images, changes: file.is_none().then_some(listed), file });
        let answer = self.ask(question, &expected).map_err(failed)?;
        match self.metrics.is_empty() {
            true => match serde_json::from_slice(&answer) {
                Ok(Predictions { predictions }) => Ok(Outputs::Predictions(predictions)),
                Err(_) => Err(failed(self.unexpected(&answer, &expected))),
            },
            false => match serde_json::from_slice::<Scores>(&answer) {
                Ok(Scores { scores })
                    if scores.len() == self.metrics.len()
                        && self.metrics.iter().all(|name| scores.contains_key(name)) =>
                {
                    Ok(Outputs::Scores(self.metrics.iter().map(|name| scores[name]).collect()))
                }
                _ => Err(failed(self.unexpected(&answer, &expected))),
            },
        }
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("plain data serializes");
    line.push(b'\n');
    line
}

impl Drop for ProcessEvaluator {
    /// Closes the standard input, at whose end the process should end, and kills it, with the processes that it started,
    /// if it does not.
    fn drop(&mut self) {
        self.questions = None;
        if self.exit().is_empty() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
