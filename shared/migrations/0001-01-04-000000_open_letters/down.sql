DROP INDEX dead_letters_redriving;
