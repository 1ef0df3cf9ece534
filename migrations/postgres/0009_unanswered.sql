-- Questions to providers that were not answered are counted apart from those that were. `answer_by`: the answer to a
-- replay may come until then; 0 once it came. `replay_over`: 1 once the attempt must never be replayed any more.
ALTER TABLE inquiries DROP CONSTRAINT inquiries_finding_check;
ALTER TABLE inquiries ADD CONSTRAINT inquiries_finding_check
    CHECK (finding IN ('nothing', 'no-answer', 'twice', 'alike'));
ALTER TABLE inquiries ADD COLUMN looks_unanswered BIGINT NOT NULL DEFAULT 0;
ALTER TABLE inquiries ADD COLUMN replays_unanswered BIGINT NOT NULL DEFAULT 0;
ALTER TABLE inquiries ADD COLUMN answer_by BIGINT;
ALTER TABLE inquiries ADD COLUMN replay_over BIGINT NOT NULL DEFAULT 0;
