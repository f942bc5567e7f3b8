# git: a repository with fifty commits, branches, a merge with a conflict, a rebase, gc, a clone, bundles, worktrees.
export LC_ALL=C TZ=UTC HOME=/tmp/git-home GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' PAGER=cat
mkdir -p $HOME /tmp/work && cd /tmp/work || exit 1
git config --global user.name Tux; git config --global user.email tux@example.org; git config --global init.defaultBranch main; git config --global gc.auto 0; git config --global pack.threads 1
git init -q . && git status --short --branch
i=1
while [ $i -le 50 ]; do
    mkdir -p dir$((i % 5)); seq $i $((i * 20)) > dir$((i % 5))/file$i; echo "line $i" >> log
    git add -A; GIT_AUTHOR_DATE="2024-01-01T00:$((i % 60)):00Z" GIT_COMMITTER_DATE="2024-01-01T00:$((i % 60)):00Z" git commit -q -m "commit $i"
    i=$((i + 1))
done
git log --format='%h %an %ad %s' --date=iso | head -50; git log --stat -3; git show --stat HEAD~10; git rev-parse HEAD; git ls-tree -r HEAD | sha1sum; git diff HEAD~1 | head -40; git shortlog -s -n HEAD
git checkout -q -b side HEAD~5; sed -i 's/line 1$/line one/' log; git commit -q -am side; git checkout -q main; sed -i 's/line 1$/line first/' log; git commit -q -am main
git merge side; echo "status $?"; git diff --name-only --diff-filter=U; sed -i '/^[<=>]/d' log; git commit -q -am merged; git log --graph --oneline | head -12; git blame -s log | head -5
git tag -a -m 'a tag' v1; git describe; git checkout -q -b topic HEAD~3; echo x > x; git add x; git commit -q -m x; git rebase main 2>&1 | tail -1; git log --oneline | head -2; git stash list; echo change >> log; git stash -q; git stash list; git stash pop -q; git status --short; git checkout -q -- log
git count-objects; git gc -q; git count-objects | sed 's/,.*//'; git count-objects -v | grep -E '^(count|in-pack|packs)'; git fsck --full; ls .git/objects/pack | sed 's/.*\.//' | sort; git verify-pack -v .git/objects/pack/*.idx | tail -3
git grep -c 99 HEAD -- dir0 | head -3; git archive HEAD dir1 | tar -t | head -3; git bisect start -q HEAD HEAD~20 >/dev/null; git bisect run sh -c 'test ! -e dir0/file40' | tail -1; git bisect reset -q 2>/dev/null
cd .. && git clone -q work copy && cd copy && git log --oneline | wc -l && git remote -v && git branch -a; echo more >> log; git commit -q -am more; git push -q origin HEAD:pushed; git -C ../work log -1 --format=%s pushed; cd ../work; git bundle create -q ../b.bundle main; git bundle verify -q ../b.bundle; git ls-remote ../b.bundle
git worktree add -q ../tree v1; ls ../tree; git worktree list | awk '{print $1}'; git format-patch -1 -o /tmp HEAD~1; git reset -q --hard HEAD~2; git clean -n; git reflog | head -3; git config --list --local; git rm -q --cached log; git status --short; git cat-file -p HEAD; git hash-object log; git log --format=%H | sha1sum
git clone -q --depth 1 file:///tmp/work ../shallow && git -C ../shallow log --oneline; git init -q --bare ../bare.git; git push -q ../bare.git main 2>&1; git --git-dir=../bare.git log -1 --oneline main
cd / && rm -rf /tmp/work /tmp/copy /tmp/tree /tmp/bare.git /tmp/shallow /tmp/b.bundle /tmp/*.patch $HOME
