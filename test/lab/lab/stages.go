package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/quartet-autoscaling/quartet/test/lab/stages"
)

// writeStages writes the lab's own copy of what makes its fake nodes and pods behave. The copy kept with the programs
// holds kwok's documents only, so that a change of ours builds no program anew.
func (l *Lab) writeStages() error {
	stock, err := os.ReadFile(l.programs.KwokStages())
	if err != nil {
		return fmt.Errorf("reading kwok's stages: %w", err)
	}
	all, err := stages.Assemble(stock)
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.stagesPath(), all, 0o644); err != nil {
		return fmt.Errorf("writing the lab's stages: %w", err)
	}
	return nil
}

func (l *Lab) stagesPath() string { return filepath.Join(l.folder.path, "stages.yaml") }
