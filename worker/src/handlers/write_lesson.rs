//! Writes one lesson: its text, its quiz, and what the gates say of both.

use jobs::{Progress, kinds::WriteLesson};
use models::{
    LessonId,
    content::{Content, Flag, Provenance, Quiz},
    courses::{self, Course},
    lessons::{self, Lesson, Status, Written},
};
use serde_json::json;

use super::Handle;
use crate::{
    course::{
        ask::{Answer, Part, UNREADABLE, later},
        gates,
        lesson::{self, LessonDraft},
        limits::Limits,
        prompts::{self, LessonVariables, QuizVariables},
        quiz::{self, QuizDraft},
        sampling, seeds,
    },
    ctx::Ctx,
    error::{JobError, Outcome},
    model::Loaded,
    run::Run,
};

/// Where the lesson stands when its text is there; the quiz is the rest.
const PERCENT_TEXT: f64 = 70.0;
/// The ordinal of a course's first lesson.
const FIRST: i64 = 1;

impl Handle for WriteLesson {
    async fn run(self, ctx: &Ctx, run: &Run) -> Result<Outcome, JobError> {
        let mut conn = ctx.db.conn().await?;
        let course = courses::get_any(&mut conn, self.course_id).await?;
        let lesson = lessons::get_any(&mut conn, self.lesson_id).await?;
        let total = lessons::list(&mut conn, self.course_id).await?.len();
        drop(conn);
        if lesson.round >= self.round {
            // An earlier attempt finished it and died before it could say so.
            return Ok(done(&lesson));
        }
        let mut model = ctx.model.get(run).await?;
        // Whoever waits for a course has nothing to read before its first lesson, and then has.
        model.urgent &= lesson.ordinal == FIRST;
        let limits = Limits::of(model.info().context);
        begin(ctx, run, self.lesson_id).await?;
        let writing = Writing {
            course,
            lesson,
            total,
            round: self.round,
            limits,
            model,
            run,
        };

        let text = writing.text().await?;
        run.progress(step(PERCENT_TEXT, "quiz", &writing.lesson));
        let content = text.draft.clone().into_content();
        let quiz = writing.quiz(&content).await?;
        let written = writing.written(content, text, quiz);

        let mut tx = run.begin().await?;
        lessons::finish(&mut tx, self.lesson_id, self.round, &written, ctx.db.now()).await?;
        tx.commit().await?;
        Ok(done(&Lesson {
            status: written.status,
            ..writing.lesson
        }))
    }
}

/// All that the two asks for one lesson need.
struct Writing<'a> {
    course: Course,
    lesson: Lesson,
    total: usize,
    round: i64,
    limits: Limits,
    model: Loaded,
    run: &'a Run,
}

impl Writing<'_> {
    async fn text(&self) -> Result<Answer<LessonDraft>, JobError> {
        self.run.progress(step(0.0, "text", &self.lesson));
        let brief = &self.course.brief;
        let variables = LessonVariables {
            setting: prompts::Setting::of(brief),
            notes: &brief.notes,
            course: self.course.title.as_deref().unwrap_or(&brief.topic),
            lesson: &self.lesson.title,
            objective: &self.objective(),
            number: usize::try_from(self.lesson.ordinal).unwrap_or_default(),
            total: self.total,
        };
        let part = Part {
            name: format!("lesson/{}", self.lesson.ordinal),
            prompt: &prompts::LESSON,
            text: prompts::LESSON.render(&variables)?,
            schema: lesson::schema(&self.limits),
            sampling: sampling::LESSON,
            tokens_max: self.limits.answer_tokens,
            asks_max: self.limits.asks_max,
            seed: self.seed(),
            round: self.round,
        };
        let gates =
            |draft: &LessonDraft| gates::lesson(&draft.clone().into_content(), &brief.topic);
        self.answer("text", &part, later, gates).await
    }

    /// The quiz, or none: a lesson without questions is worth more than no lesson.
    async fn quiz(&self, content: &Content) -> Result<Option<Answer<QuizDraft>>, JobError> {
        let variables = QuizVariables {
            setting: prompts::Setting::of(&self.course.brief),
            lesson: &self.lesson.title,
            objective: &self.objective(),
            text: &quiz::prompt_text(content, &self.limits),
        };
        let part = Part {
            name: format!("quiz/{}", self.lesson.ordinal),
            prompt: &prompts::QUIZ,
            text: prompts::QUIZ.render(&variables)?,
            schema: quiz::schema(&self.limits),
            sampling: sampling::QUIZ,
            tokens_max: self.limits.answer_tokens,
            asks_max: self.limits.asks_max,
            seed: self.seed(),
            round: self.round,
        };
        let gates = |draft: &QuizDraft| gates::quiz(&self.shuffled(draft.clone()));
        match self.answer("quiz", &part, QuizDraft::joined, gates).await {
            Err(JobError::Fail {
                code: UNREADABLE, ..
            }) => Ok(None),
            answer => Ok(Some(answer?)),
        }
    }

    /// Asks for a part, unless an earlier attempt has the answer.
    async fn answer<T>(
        &self,
        key: &str,
        part: &Part,
        join: impl Fn(Option<&T>, T) -> T + Send,
        gates: impl Fn(&T) -> Vec<Flag> + Send,
    ) -> Result<Answer<T>, JobError>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        let asking = part.ask(&self.model, self.run.cancelled(), join, gates);
        let answer = self
            .run
            .checkpoint(key, &part.digest(&self.model), asking)
            .await?;
        self.run.used(answer.tokens_in, answer.tokens_out);
        Ok(answer)
    }

    fn written(
        &self,
        content: Content,
        text: Answer<LessonDraft>,
        quiz: Option<Answer<QuizDraft>>,
    ) -> Written {
        let mut flags = text.flags;
        let mut provenance = text.provenance;
        let quiz = if let Some(answer) = quiz {
            flags.extend(answer.flags);
            note_quiz(&mut provenance, &answer.provenance);
            self.shuffled(answer.draft)
        } else {
            flags.push(gates::flag("quiz_unreadable", "no quiz could be read"));
            Quiz::default()
        };
        let status = if flags.is_empty() {
            Status::Ready
        } else {
            Status::NeedsReview
        };
        Written {
            content,
            quiz,
            flags,
            provenance,
            status,
        }
    }

    fn shuffled(&self, draft: QuizDraft) -> Quiz {
        let name = format!("answers/{}", self.lesson.ordinal);
        draft.into_quiz(
            &self.lesson.objectives,
            seeds::of(self.seed(), &name, self.round, 0),
        )
    }

    fn objective(&self) -> String {
        self.lesson.objectives.join("; ")
    }

    fn seed(&self) -> u64 {
        self.course.seed
    }
}

/// A lesson has one provenance: that of its text, with what is different about its quiz.
fn note_quiz(lesson: &mut Provenance, quiz: &Provenance) {
    lesson.tokens_in += quiz.tokens_in;
    lesson.tokens_out += quiz.tokens_out;
    lesson.params.extend([
        ("quiz_prompt_id".to_owned(), quiz.prompt_id.as_str().into()),
        (
            "quiz_prompt_sha256".to_owned(),
            quiz.prompt_sha256.as_str().into(),
        ),
        ("quiz_seed".to_owned(), quiz.seed.into()),
    ]);
}

/// Lets readers see that the lesson is being written.
async fn begin(ctx: &Ctx, run: &Run, lesson: LessonId) -> Result<(), JobError> {
    let mut tx = run.begin().await?;
    lessons::begin(&mut tx, lesson, ctx.db.now()).await?;
    Ok(tx.commit().await?)
}

fn step(percent: f64, step: &str, lesson: &Lesson) -> Progress {
    Progress {
        percent,
        step: Some(step.to_owned()),
        message: Some(format!(
            "Writing lesson {}: {}",
            lesson.ordinal, lesson.title
        )),
        ..Progress::default()
    }
}

fn done(lesson: &Lesson) -> Outcome {
    Outcome::Done(Some(
        json!({"lesson": lesson.ordinal, "status": lesson.status}),
    ))
}
