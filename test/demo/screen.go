package main

import (
	"context"
	"fmt"
	"io"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

const (
	redrawEvery = 250 * time.Millisecond
	sampleEvery = time.Second
	keptSamples = 400
)

// screen is the live view. It owns nothing but the histories it draws.
type screen struct {
	play     *play
	duration time.Duration
	width    int
	sampled  time.Time
	rates    []int
	depths   []int
	sizes    []int
	nodes    []int
}

type (
	redraw time.Time
	ended  struct{}
)

func tick() tea.Cmd { return tea.Tick(redrawEvery, func(t time.Time) tea.Msg { return redraw(t) }) }

// Init implements tea.Model.
func (s *screen) Init() tea.Cmd { return tick() }

// Update implements tea.Model.
func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		s.width = m.Width
	case tea.KeyMsg:
		switch m.String() {
		case "q", "esc", "ctrl+c":
			return s, tea.Quit
		}
	case ended:
		return s, tea.Quit
	case redraw:
		if time.Time(m).Sub(s.sampled) >= sampleEvery {
			s.sampled = time.Time(m)
			f := s.play.frame()
			s.rates, s.depths, s.sizes = push(s.rates, f.rate), push(s.depths, f.depth), push(s.sizes, f.working)
			s.nodes = push(s.nodes, f.cluster.nodes.Final)
		}
		return s, tick()
	}
	return s, nil
}

func push(history []int, v int) []int {
	history = append(history, v)
	return history[max(0, len(history)-keptSamples):]
}

// View implements tea.Model.
func (s *screen) View() string {
	f := s.play.frame()
	f.duration = s.duration
	f.rates, f.depths, f.sizes, f.nodes = s.rates, s.depths, s.sizes, s.nodes
	return render(f, s.width)
}

// showScreen runs the play under the live view. Leaving the view ends the play
// without a verdict on a day that was not over.
func showScreen(ctx context.Context, p *play, s settings, out io.Writer) error {
	playing, stop := context.WithCancel(ctx)
	defer stop()
	program := tea.NewProgram(&screen{play: p, duration: s.duration}, tea.WithContext(ctx), tea.WithOutput(out),
		tea.WithAltScreen(), tea.WithoutSignalHandler())
	result := make(chan error, 1)
	go func() {
		err := p.run(playing, s.duration)
		program.Send(ended{})
		result <- err
	}()
	_, err := program.Run()
	stop()
	if runErr := <-result; runErr != nil {
		return runErr
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("show the view: %w", err)
	}
	return nil
}
