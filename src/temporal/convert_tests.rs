//! What the service sends, in the shapes of the survey.
